"""One public list of names."""

import pytest

import meanshape as ms

PROMISED = {
    *("detect", "load", "evaluate", "align", "video", "follow", "draw"),
    *(
        "Pipeline",
        "Tracker",
        "Box",
        "Shape",
        "Face",
        "Prediction",
        "MarkUp",
        "Sample",
        "Evaluation",
        "MeanshapeError",
    ),
}


def test_everything_promised_is_listed():
    assert set(ms.__all__) >= PROMISED
    assert list(ms.__all__) == sorted(ms.__all__)
    assert set(ms.__all__) <= set(dir(ms))


def test_every_error_is_public():
    from meanshape.core import errors

    kinds = {
        name
        for name, value in vars(errors).items()
        if isinstance(value, type) and value.__module__ == errors.__name__
    }
    assert kinds <= set(ms.__all__)


@pytest.mark.parametrize("name", ms.__all__)
def test_every_listed_name_is_there(name):
    assert getattr(ms, name) is not None


def test_no_other_name_is_public():
    plain = {name for name, value in vars(ms).items() if name[0] != "_" and not isinstance(value, type(ms))}
    assert plain - {"annotations", "import_module", "TYPE_CHECKING", "Any"} <= set(ms.__all__)
    with pytest.raises(AttributeError, match="no attribute 'detekt'"):
        ms.detekt  # noqa: B018
