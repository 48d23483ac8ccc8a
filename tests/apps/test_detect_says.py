"""What `meanshape detect` says of what it wrote, and how large it draws."""

import pytest
from PIL import Image

from meanshape.apps.cli import main


@pytest.fixture
def run(inside, model_folder, capsys):
    """Return a function that runs a command line and returns exit code, stdout and stderr."""

    def run(*arguments):
        model = ["--model", str(model_folder), "--detector", "whole_image"]
        code = main(["detect", *map(str, arguments), *model])
        said = capsys.readouterr()
        return code, said.out, said.err

    return run


def test_what_was_written_is_said_with_counts(run, photo):
    photo("a/me.png"), photo("a/you.png")
    _, _, err = run("a", "-o", "out/points.jsonl", "--overlay", "drawn")
    assert "written: out/points.jsonl (2 photos, 2 faces), drawn (2 drawn)" in err


def test_a_drawing_is_as_large_as_was_said(run, photo):
    photo("me.png")
    for words, size in (((), (64, 48)), (("--scale", "3"), (192, 144))):
        assert run("me.png", "--overlay", "drawn.png", "--numbers", *words)[0] == 0
        with Image.open("drawn.png") as drawn:
            assert drawn.size == size
    assert run("me.png", "--scale", "3")[0] == 6
    assert run("me.png", "--overlay", "drawn.png", "--scale", "0")[0] == 6


def test_a_photo_without_a_face_says_so(run, photo, monkeypatch):
    from meanshape.detectors.whole_image import WholeImage

    photo("me.png")
    assert "no face" not in run("me.png", "-o", "points.jsonl")[2]
    monkeypatch.setattr(WholeImage, "_detect", lambda self, image: [])
    code, _, err = run("me.png", "-o", "points.jsonl")
    assert code == 0 and "no face was found in this photo" in err
    assert "written: points.jsonl (1 photo, 0 faces)" in err
