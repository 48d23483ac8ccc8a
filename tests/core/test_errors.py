import pickle

import pytest

from meanshape.core import errors


def tree(root=errors.MeanshapeError):
    for kind in root.__subclasses__():
        yield kind
        yield from tree(kind)


def test_every_error_has_its_own_exit_code():
    kinds = [errors.MeanshapeError, *tree()]
    kinds = [kind for kind in kinds if kind.__module__ == errors.__name__]
    codes = [kind.exit_code for kind in kinds]
    assert len(kinds) > 10
    assert len(set(codes)) == len(codes)
    assert 0 not in codes
    assert 2 not in codes  # wrong usage of the command line
    for kind in kinds:
        assert f"{kind.__name__} " in errors.__doc__
        assert str(kind.exit_code) in errors.__doc__


@pytest.mark.parametrize(
    ("kind", "builtin"),
    [(errors.UnknownName, KeyError), (errors.MissingExtra, ImportError), (errors.BoxError, ValueError)],
)
def test_errors_are_what_a_caller_would_already_catch(kind, builtin):
    assert issubclass(kind, builtin)


def test_messages():
    assert str(errors.UnknownName.of("method", "dna", ["dan", "asm"])) == (
        "no method is called 'dna'; did you mean 'dan'?"
    )
    for wrong in ("x", "", "n"):
        assert str(errors.UnknownName.of("method", wrong, ["dan", "asm"])).endswith("there are: asm, dan")
    assert errors.suggestion("gpu", ["webgpu", "cuda"]) == "; there are: cuda, webgpu"
    assert errors.suggestion("whole", ["whole_image", "both"]) == "; did you mean 'whole_image'?"
    assert errors.suggestion(".jsonll", [".json", ".jsonl"]) == "; did you mean '.jsonl'?"
    assert errors.suggestion(".xlsx", [".xml", ".csv"]) == "; there are: .csv, .xml"
    assert str(errors.UnknownName.of("method", "x", [])).endswith("there are none")
    assert "pip install 'meanshape[train]'" in str(errors.MissingExtra.of("train", "Training"))
    assert str(errors.FormatError("67 points, not 68", "a.pts", 3)) == "a.pts, line 3: 67 points, not 68"
    assert str(errors.FormatError("no", line=3)) == "line 3: no"


def test_errors_travel_between_processes():
    for error in (errors.FormatError("no", "a.pts", 3), errors.UnknownName.of("method", "x", ["y"])):
        again = pickle.loads(pickle.dumps(error))
        assert str(again) == str(error)
        assert vars(again) == vars(error)
