"""A folder of static files that finds faces and their points in the browser: any web server can hand it out.

The networks run in onnxruntime-web, which is no part of this package: it is copied from a folder that the
user names, or loaded by the page from a CDN, of one version whose bytes are known. All that the page loads
has its digest in it.
"""

from __future__ import annotations

import base64
import hashlib
import json
import tempfile
from pathlib import Path
from typing import Any

from meanshape.apps.web.standalone import SOURCES
from meanshape.core import registry, weights
from meanshape.core.errors import ConfigError, OutputError, writing
from meanshape.core.files import write_below
from meanshape.core.origin import joined
from meanshape.core.regular import read_bytes
from meanshape.detectors.glance import Glance
from meanshape.detectors.glance import grid as cells
from meanshape.detectors.glance import model as glance
from meanshape.inference import choice
from meanshape.inference.outputs import writable
from meanshape.inference.overlay import colour
from meanshape.methods import load
from meanshape.methods.onnx import portable

SCRIPT, GLUE, BINARY = "ort.wasm.min.js", "ort-wasm-simd-threaded.mjs", "ort-wasm-simd-threaded.wasm"
"""The files of onnxruntime-web that the page needs."""
VERSION = "1.30.0"
CDN = f"https://cdn.jsdelivr.net/npm/onnxruntime-web@{VERSION}/dist/"
KNOWN = {
    SCRIPT: "sha384-Bw6URI+Gvoadw0do7/QrSHUC9D1vCYYK5OSqChFyhyV5mzPL4oe2rOAFljAnS8Sq",
    GLUE: "sha384-XcXA/MtAf0WpB8e023xQH9CM7RIjiugakT7x99DIwpFf7k56BIFFcAPerIF7FDad",
    BINARY: "sha384-vjBJ1z7qrhkTyYsNqKeF6c7N+nOJSU94czEo+tvZcu8G75JparGq9kB+kTnEUNVM",
}
"""The digests of `VERSION`."""
THRESHOLD = 0.9
"""The detector's score of a face, by its first look alone: Python has a second look, and takes 0.8."""


def write(
    folder: str | Path, *, model: str = choice.MODEL, runtime: str | Path | None = None, min_face: float = 40
) -> list[str]:
    """Write the page into a folder, following no link, and return the names of its files.

    Parameters
    ----------
    folder : where to; other files there stay
    model : a shipped model or a run folder that can be exported
    runtime : onnxruntime-web's folder, copied beside the page; None: the page loads it from `CDN`
    min_face : the smallest face to look for, pixels

    Raises
    ------
    ConfigError : no onnxruntime-web in that folder, or a model that runs no graph
    MissingExtra : the extra `export` is not installed
    OutputError : the folder cannot be written
    """
    placer = load(model)
    copied = {} if runtime is None else _runtime(Path(runtime))
    digests = KNOWN if runtime is None else {name: digest(data) for name, data in copied.items()}
    target = Path(folder)
    writable(target)
    root = target.resolve()  # it may be a link; what lies in it may not
    files = {f"ort/{name}": data for name, data in copied.items()}
    files["detector.onnx"] = read_bytes(weights.folder(Glance.name) / "model.onnx")
    with tempfile.TemporaryDirectory() as scratch:
        portable.write(placer, Path(scratch) / "points.onnx", numbers="fp16", with_crop=True)
        files["points.onnx"] = read_bytes(Path(scratch) / "points.onnx")
    base = CDN if runtime is None else "ort/"
    about = _about(placer, min_face, base, digests, files)
    files["models.json"] = json.dumps(about, ensure_ascii=False, indent=1).encode()
    for path in sorted(SOURCES.iterdir()):
        if path.suffix in (".html", ".css", ".js"):
            files[path.name] = path.read_bytes()
    files["index.html"] = _filled(files["index.html"].decode(), base, digests[SCRIPT]).encode()
    for name, data in files.items():
        with writing(target / name):
            write_below(root, name, data, make=True)
    return sorted(files)


def digest(data: bytes) -> str:
    """Return what a browser compares bytes with (subresource integrity)."""
    return "sha384-" + base64.b64encode(hashlib.sha384(data).digest()).decode()


def _runtime(folder: Path) -> dict[str, bytes]:
    """Return the files of onnxruntime-web: in its folder, or in `dist` there."""
    for place in (folder, folder / "dist", folder / "node_modules" / "onnxruntime-web" / "dist"):
        if (place / SCRIPT).is_file():
            try:
                return {name: read_bytes(place / name) for name in (SCRIPT, GLUE, BINARY)}
            except OSError as error:
                raise ConfigError(f"{place}: not all of onnxruntime-web is there ({error})") from error
    raise ConfigError(
        f"{folder}: there is no onnxruntime-web ({SCRIPT}); npm install onnxruntime-web brings it, or take "
        "--cdn"
    )


def _about(
    placer: Any, min_face: float, base: str, digests: dict[str, str], files: dict[str, bytes]
) -> dict[str, Any]:
    """Return what the page must know of its networks."""
    markup, finder = placer.markup, Glance(min_face)
    slope, shift = finder.config.calibration
    origin = joined([finder.origin, placer.origin])
    return {
        "terms": origin.licence,
        "commercial_use": origin.commercial_use,
        "runtime": {
            "base": base,
            "glue": {"file": GLUE, "integrity": digests[GLUE]},
            "binary": {"file": BINARY, "integrity": digests[BINARY]},
        },
        "detector": {
            "name": finder.name, "file": "detector.onnx", "integrity": digest(files["detector.onnx"]),
            "min_face": min_face, "smallest": glance.SMALLEST_SEEN, "step": glance.STEP,
            "covered": glance.COVERED * cells.LARGEST, "multiple": cells.MULTIPLE,
            "strides": cells.STRIDES, "units": cells.UNITS, "threshold": THRESHOLD, "slope": slope,
            "shift": shift, "overlap": finder.config.overlap, "inside": glance.INSIDE,
            "canonical": registry.card("detectors", finder.name)["canonical"],
        },
        "model": {
            "name": placer.name, "markup": markup.name, "file": "points.onnx",
            "integrity": digest(files["points.onnx"]), "edges": markup.edges,
            "colours": ["#{:02x}{:02x}{:02x}".format(*colour(markup, n)) for n in range(len(markup))],
        },
    }  # fmt: skip


def _filled(page: str, base: str, integrity: str) -> str:
    """Return the page with its script and its policy, which lets nothing in but the CDN's files."""
    other = "" if base != CDN else " https://cdn.jsdelivr.net/npm/"
    policy = (
        f"default-src 'none'; script-src 'self' blob: 'wasm-unsafe-eval'{other}; connect-src 'self'{other}; "
        "style-src 'self'; img-src 'self' data: blob:; media-src 'self' blob:; base-uri 'none'; "
        "form-action 'none'"
    )
    script = f'<script src="{base}{SCRIPT}" integrity="{integrity}" crossorigin="anonymous"></script>'
    if "{{policy}}" not in page or "{{script}}" not in page:
        raise OutputError("the page of this package is not as it was made; install it again")
    return page.replace("{{policy}}", policy).replace("{{script}}", script)
