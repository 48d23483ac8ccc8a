"""Write a page that finds faces in the browser, for any static web host."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from meanshape.apps.cli import _console as console
from meanshape.core.errors import ConfigError
from meanshape.inference.choice import MODEL

app = typer.Typer()


@app.command()
def page(
    output: Annotated[str, typer.Option("-o", "--output", help="The folder to write it into.")],
    ort: Annotated[
        Path | None,
        typer.Option(help="The folder of onnxruntime-web, such as node_modules/onnxruntime-web, to copy."),
    ] = None,
    cdn: Annotated[
        bool, typer.Option("--cdn", help="Let the page load onnxruntime-web from cdn.jsdelivr.net instead.")
    ] = False,
    model: Annotated[str, typer.Option(help="Who places the points: one that can be exported.")] = MODEL,
    min_face: Annotated[float, typer.Option(min=12, help="The smallest face to look for, in pixels.")] = 40,
) -> None:
    """Write a page that finds faces in the browser, for any static web host.

    Photo or camera, all on the visitor's device; there is nothing to run on the server. The networks need
    onnxruntime-web, which is not part of this package: name its folder, or choose the CDN.
    """
    from meanshape.apps.web import site

    if (ort is None) != cdn:
        raise ConfigError(
            "onnxruntime-web is not part of this package: --ort FOLDER copies it (npm install "
            "onnxruntime-web brings one), --cdn lets visitors load it from cdn.jsdelivr.net; choose one"
        )
    files = site.write(output, model=model, runtime=ort, min_face=min_face)
    size = sum((Path(output) / name).stat().st_size for name in files) / 1e6
    console.say(f"written: {output} ({len(files)} files, {size:.1f} MB)", plain=True)
    console.say(f"look at it: python -m http.server --directory {output} 8000", plain=True)
