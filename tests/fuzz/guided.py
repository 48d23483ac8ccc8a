"""A fuzzer that looks which lines it reaches (atheris, which is libFuzzer): bytes into every reader.

    python tests/fuzz/guided.py pictures --seconds 600 --corpus FOLDER

Needs `pip install atheris` (Linux). Anything but an error of the tree ends it, and the bytes that did it are
kept beside the corpus as `crash-…`. What it starts from are small sound files; what it finds on the way stays
in the folder, so that the next run goes on from there.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import warnings
from collections.abc import Callable
from pathlib import Path

import atheris

WATCHED = ["meanshape", "PIL", "tomllib", "json", "zipfile", "csv", "xml"]

with atheris.instrument_imports(include=WATCHED):
    import numpy as np

    from meanshape import formats
    from meanshape.core import config, weights
    from meanshape.core import markup as markups
    from meanshape.core.box import Box
    from meanshape.core.errors import MeanshapeError
    from meanshape.core.face import Face
    from meanshape.core.image import read_image
    from meanshape.core.prediction import Prediction
    from meanshape.core.shape import Shape
    from meanshape.methods.dan import Config
    from meanshape.methods.mean_shape import MeanShape
    from meanshape.methods.shared import arrays

Read = Callable[[bytes], object]
Seeds = dict[str, bytes]

POINTS = [[9, 8], [30, 8], [20, 20], [10, 33], [30, 33]]
PHOTO = Prediction((Face(Box(1, 2, 50.5, 60), Shape(POINTS, "mtfl5")),), (64, 62), "a.jpg")


def pictures(folder: Path) -> tuple[Read, Seeds]:
    """Pictures of the usual kinds."""
    import io

    from PIL import Image

    pixels, seeds = np.random.default_rng(0).integers(0, 256, (5, 7, 3), np.uint8), {}
    for kind in ("JPEG", "PNG", "GIF", "BMP", "PPM", "TIFF", "WEBP", "JPEG2000", "TGA", "ICO"):
        file = io.BytesIO()
        Image.fromarray(pixels).save(file, kind)
        seeds[kind] = file.getvalue()
    return read_image, seeds


def labels(folder: Path) -> tuple[Read, Seeds]:
    """Label files; the first byte says of which format."""
    forms, path, seeds = sorted(formats.FORMATS), folder / "labels", {}
    for number, form in enumerate(forms):
        formats.write(path, [PHOTO], form=form)
        seeds[form] = bytes([number]) + path.read_bytes()

    def read(data: bytes) -> object:
        path.write_bytes(data[1:])
        return formats.read(path, form=forms[data[0] % len(forms)]) if data else None

    return read, seeds


def settings(folder: Path) -> tuple[Read, Seeds]:
    """Configs, mark-ups and cards in TOML; the first byte says which."""
    path = folder / weights.CARD
    readers: list[Callable[[str], object]] = [
        lambda text: config.from_toml(Config, text),
        lambda text: markups.from_toml("own", text),
        lambda text: (path.write_text(text, "utf-8"), weights.read_card(folder), weights.verify(folder)),
    ]
    texts = [config.to_toml(Config()), markups.to_toml(markups.markup("mtfl5"))]
    texts.append(
        'name = "a"\nmethod = "asm"\nmarkup = "mtfl5"\nlicence = "free"\n[metrics]\nnme = 3.5\n[files]\n'
    )

    def read(data: bytes) -> object:
        return readers[data[0] % 3](data[1:].decode("utf-8", "ignore")) if data else None

    return read, {str(n): bytes([n]) + text.encode() for n, text in enumerate(texts)}


def models(folder: Path) -> tuple[Read, Seeds]:
    """The arrays of a model's folder."""
    path, seeds = folder / "mean.npz", {}
    arrays.save(path, {"a": {"one": np.ones(3), "two": np.zeros((2, 2), np.float16)}})
    seeds["npz"] = path.read_bytes()

    def read(data: bytes) -> object:
        path.write_bytes(data)
        return arrays.load(path)

    return read, seeds


def bodies(folder: Path) -> tuple[Read, Seeds]:
    """Bodies of requests: answers of 500 and more count as faults."""
    from fastapi.testclient import TestClient

    from meanshape.apps.web.folder import Folder
    from meanshape.apps.web.server import create_app
    from meanshape.apps.web.service import Service
    from meanshape.core.image import write_image
    from meanshape.core.sample import Sample

    model = MeanShape().fit([Sample("one", "none.png", PHOTO.faces[0].shape, PHOTO.faces[0].box)])
    model.save(folder / "model")
    (folder / "photos").mkdir()
    write_image(folder / "photos" / "a.png", np.full((24, 32, 3), 120, np.uint8))
    service = Service(defaults={"model": str(folder / "model"), "detector": "whole_image"})
    app = create_app(service, folder=Folder(folder / "photos", markups.markup("mtfl5")))
    client = TestClient(app, base_url="http://localhost", raise_server_exceptions=True)
    kind = {"content-type": "application/json"}

    def read(data: bytes) -> object:
        answer = client.put("/v1/folder/label?name=a.png", content=data, headers=kind)
        assert answer.status_code < 500, answer.text
        (folder / "photos" / "labels.jsonl").unlink(missing_ok=True)
        return answer

    body = {"version": "", "faces": [{"points": [[n, 2 * n] for n in range(5)], "visible": [True] * 5}]}
    return read, {"body": json.dumps(body).encode()}


TARGETS = {make.__name__: make for make in (pictures, labels, settings, models, bodies)}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("target", choices=sorted(TARGETS))
    parser.add_argument("--seconds", type=int, default=60)
    parser.add_argument("--runs", type=int, default=-1, help="end after so many; -1: never")
    parser.add_argument("--corpus", type=Path, help="a folder that keeps what was found")
    given = parser.parse_args()
    warnings.simplefilter("ignore")
    scratch = Path(tempfile.mkdtemp(prefix="guided-"))
    corpus = given.corpus or scratch / "corpus"
    corpus.mkdir(parents=True, exist_ok=True)
    with atheris.instrument_imports(include=WATCHED):  # readers import what they need when they first need it
        read, seeds = TARGETS[given.target](scratch)
        for name, data in seeds.items():
            read(data)
            (corpus / name).write_bytes(data)

    def one(data: bytes) -> None:
        try:
            read(data)
        except MeanshapeError as error:
            assert str(error).strip(), f"{error!r} says nothing"

    limits = ["-timeout=20", "-rss_limit_mb=3000", "-max_len=20000", f"-artifact_prefix={corpus}/"]
    ends = [f"-max_total_time={given.seconds}", f"-runs={given.runs}", "-print_final_stats=1"]
    atheris.Setup([sys.argv[0], *limits, *ends, str(corpus)], one)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
