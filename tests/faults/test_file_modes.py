"""Who may read what is written: that is for the umask to say, for every kind of file."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

import meanshape as ms
from meanshape import formats
from meanshape.core.face import Face
from meanshape.core.image import write_image
from meanshape.core.prediction import Prediction
from meanshape.inference.outputs import FileWriter

BOX = ms.Box(2, 3, 20, 30)
FOUND = Prediction((Face(BOX, ms.Shape(BOX.absolute(np.full((68, 2), 0.5)))),), (40, 40), "a.png", "mean")


def film(path: Path) -> None:
    pytest.importorskip("av")
    from meanshape.inference.recorder import Recorder

    recorder = Recorder(path, 25)
    recorder.add(np.zeros((48, 64, 3), np.uint8), 0.0)
    recorder.close()


def points(path: Path) -> None:
    written = FileWriter(path, ["a.png"], "mean")
    written.add(FOUND)
    written.finish()


def table(path: Path) -> None:
    pytest.importorskip("pyarrow")
    formats.write(path, [FOUND])


def state(path: Path) -> None:
    torch = pytest.importorskip("torch")
    from meanshape.methods.onnx.state import load_state, save_state

    module = torch.nn.Linear(2, 3)
    save_state(module, path)
    assert load_state(module, path)


WRITERS: dict[str, Callable[[Path], None]] = {
    "a.mp4": film,
    "a.png": lambda path: write_image(path, np.zeros((4, 4, 3), np.uint8)),
    "a.jsonl": points,
    "a.csv": points,
    "a.parquet": table,
    "a.safetensors": state,
}


@pytest.fixture(params=[0o027, 0o002], ids=oct)
def umask(request: pytest.FixtureRequest) -> Iterator[int]:
    before = os.umask(request.param)
    yield request.param
    os.umask(before)


@pytest.mark.skipif(os.name == "nt", reason="Windows has no umask")
class TestModes:
    @pytest.mark.parametrize("name", list(WRITERS))
    def test_a_file_obeys_the_umask(self, tmp_path: Path, umask: int, name: str) -> None:
        WRITERS[name](tmp_path / name)
        assert oct((tmp_path / name).stat().st_mode & 0o777) == oct(0o666 & ~umask)

    def test_a_folder_of_weights_obeys_it(self, tmp_path: Path, umask: int, model_folder: Path) -> None:
        for _ in range(2):  # new, and over an older one
            ms.load(model_folder).save(tmp_path / "mean")
            for path in (tmp_path / "mean", *(tmp_path / "mean").iterdir()):
                whole = 0o777 if path.is_dir() else 0o666
                assert oct(path.stat().st_mode & 0o777) == oct(whole & ~umask), path.name
