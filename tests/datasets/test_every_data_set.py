"""What holds for every data set, tested on its miniature: no photo of a person is needed."""

import shutil
import tomllib
from collections import defaultdict
from pathlib import Path

import numpy as np
import pytest

from meanshape.core import registry
from meanshape.core.errors import DataSetError, FormatError, UnknownName
from meanshape.datasets import load_data, parse_data
from meanshape.datasets.parts.card import FAMILIES
from meanshape.datasets.parts.files import PHOTOS

FOLDER_SETS = [name for name in registry.names("datasets") if name != "synthetic"]
NOSE = defaultdict(lambda: 29)
NOSE |= {
    "ibug68": 30,
    "imm73": 30,
    "mtfl5": 2,
    "afw6": 2,
    "aflw21": 14,
    "bioid20": 14,
    "lfpw29": 20,
    "muct76": 67,
    "xm2vts68": 67,
    "lfpw35": 20,
}
"""Where a miniature's dark pixel is."""
FROM_FIVE = ("xm2vts68", "scut86", "webmorph189")
"""Mark-ups whose canonical box follows from five of their points."""


@pytest.fixture(scope="module", params=FOLDER_SETS)
def made(request, tmp_path_factory):
    """A data set and its miniature, in a folder that not every program can spell."""
    module = registry.dataset(request.param)
    return module, module.miniature(tmp_path_factory.mktemp(request.param) / "Gesichter é 脸")


@pytest.fixture
def copy(made, tmp_path):
    module, root = made
    return module, Path(shutil.copytree(root, tmp_path / "copy"))


def test_the_card_says_what_people_ask(made):
    card = made[0].card
    assert card.family in FAMILIES
    assert card.title
    assert card.licence
    assert card.name in registry.names("datasets")
    assert {card.markup, *card.markups} - {None} <= set(registry.names("markups"))
    assert card.unit and (card.extra is None or card.extra.isidentifier())
    if card.family != "own":
        assert card.home.startswith("http")
        assert card.citation
        assert all(count >= 0 for count in card.splits.values())
    table = tomllib.loads(Path(made[0].__file__).with_suffix(".toml").read_text("utf-8"))
    assert registry.card("datasets", card.name) == table


def test_every_photo_has_its_points_and_its_labels(made):
    module, root = made
    samples = module.samples(root)
    assert len({sample.id for sample in samples}) == len(samples) >= 2
    for sample in samples:
        height, width, channels = sample.pixels().shape
        assert channels == 3
        assert not Path(sample.id).is_absolute()
        assert "\\" not in sample.id
        assert Path(sample.id).suffix not in (".jpg", ".png", ".pts")
        if sample.shape is not None:
            points = sample.shape.points[np.isfinite(sample.shape.points).all(axis=1)]
            assert ((points >= 0) & (points <= [width - 1, height - 1])).all()
            if sample.box is not None:
                inside = sample.box.relative(points)
                slack = 0.35 if sample.shape.markup.name in FROM_FIVE else 0
                assert ((inside >= -slack) & (inside <= 1 + slack)).all()


def test_points_lie_where_they_were_drawn(made):
    """A reader that forgets that a file counts from 1 (or that another does not) is off by one pixel."""
    module, root = made
    for sample in module.samples(root):
        if sample.shape is None:
            continue
        x, y = np.round(sample.shape.points[NOSE[sample.shape.markup.name]]).astype(int)
        around = sample.pixels()[y - 1 : y + 2, x - 1 : x + 2].sum(axis=2)
        assert np.argmin(around) == 4, sample.id


def test_reading_again_gives_the_same_in_the_same_order(made):
    module, root = made
    assert [s.id for s in module.samples(root)] == [s.id for s in module.samples(str(root))]


def test_the_splits_make_up_the_whole(made):
    module, root = made
    everything = {sample.id for sample in module.samples(root)}
    parts = {split: module.samples(root, split, allow_missing=True) for split in module.card.splits}
    assert set().union(*({s.id for s in part} for part in parts.values())) == everything
    if "trainval" in parts:
        train, validation, both = (
            {s.id for s in parts[name]} for name in ("train", "validation", "trainval")
        )
        assert train | validation == both
        assert not train & validation
    for split, part in parts.items():
        assert all(sample.split in (split, *module.card.splits) for sample in part)
        assert load_data(f"{module.card.name}:{root}:{split}", allow_missing=True) is not None


def test_a_copy_without_fault_but_the_missing_rest(made):
    module, root = made
    assert {problem.kind for problem in module.verify(root)} <= {"count"}


def file_of(sample):
    """Where a sample's picture lies: a file, or the video or container that holds it."""
    image = sample.image
    path = Path(image if isinstance(image, str | Path) else image.arguments[0])
    if path.suffix == ".mat":
        pytest.skip("the pictures lie in the same file as the labels")
    return path


def test_a_missing_photo_is_counted(copy):
    module, root = copy
    before = module.samples(root)
    first = before[0]
    lost = sum(file_of(sample) == file_of(first) for sample in before)
    file_of(first).unlink()
    problems = [str(problem) for problem in module.verify(root) if problem.kind in ("missing", "count")]
    assert problems
    with pytest.raises(DataSetError, match=r"missing.*--allow-missing") as error:
        for split in [s for s in module.card.splits if s in (first.split, "all", "trainval")] or [None]:
            module.samples(root, split)
    assert error.value.exit_code == 4
    assert len(load_data(f"{module.card.name}:{root}", allow_missing=True)) == len(before) - lost


def test_a_truncated_and_an_empty_photo_are_found(copy):
    module, root = copy
    (first, path), (second, other) = list(
        {file_of(s): (s, file_of(s)) for s in module.samples(root)}.values()
    )[:2]
    whole = path.read_bytes()
    left = 1 / 10 if path.suffix == ".avi" else 2 / 3  # of a frame cut off, some decoders guess the rest
    path.write_bytes(whole[: int(len(whole) * left)])
    other.write_bytes(b"")
    kinds = ("corrupt", "label", "missing")  # a broken video has no frames
    problems = [problem for problem in module.verify(root) if problem.kind in kinds]
    assert any(first.id in problem.message for problem in problems)
    assert any(second.id in problem.message for problem in problems)


def test_a_wrong_root_and_a_wrong_split_are_refused(made, tmp_path):
    module, root = made
    with pytest.raises(DataSetError, match="nirgends"):
        module.samples(tmp_path / "nirgends")
    with pytest.raises(DataSetError, match="has no split 'tset'; it has"):
        module.samples(root, "tset")
    (tmp_path / "leer").mkdir()
    with pytest.raises(DataSetError):
        module.samples(tmp_path / "leer", allow_missing=True)
    assert module.verify(tmp_path / "leer")


def test_a_broken_label_file_is_named(copy):
    module, root = copy
    texts = (".pts", ".asf", ".csv", ".yml")
    lists = ("trainImageList", "testImageList", "list_98pt", "bbx_gt", "list_landmarks", "training")
    labels = [
        p
        for p in sorted(root.rglob("*"))
        if p.suffix in texts
        or p.stem.startswith(lists)
        or "bbx_gt" in p.name
        or p.parent.name == "annotation"
    ]
    for path in [p for p in labels if p.is_file() and p.suffix not in PHOTOS]:
        lines = path.read_text("utf-8").splitlines()
        lines[len(lines) // 2] = "x"
        path.write_text("\n".join(lines), "utf-8")
    if labels:
        with pytest.raises(FormatError, match="line"):
            module.samples(root)
        assert "label" in {problem.kind for problem in module.verify(root)}


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("ibug300w:/data/300w", ("ibug300w", "/data/300w", None)),
        ("ibug300w:/data/300w:common", ("ibug300w", "/data/300w", "common")),
        (r"ibug300w:C:\faces\300w:common", ("ibug300w", r"C:\faces\300w", "common")),
        (r"mtfl:C:\faces", ("mtfl", r"C:\faces", None)),
        ("mtfl:D:test", ("mtfl", "D", "test")),
        ("mtfl:a:b:c", ("mtfl", "a:b:c", None)),
        ("mtfl:test", ("mtfl", "test", None)),
        ("afw:a b/é:all", ("afw", "a b/é", "all")),
    ],
)
def test_a_data_argument_is_taken_apart(text, parts):
    assert parse_data(text) == parts


def test_a_misspelt_data_argument_is_corrected(tmp_path):
    with pytest.raises(UnknownName, match="did you mean 'ibug300w'"):
        parse_data("ibug300:x")
    with pytest.raises(UnknownName, match="no split of ibug300w is called 'comon'; did you mean 'common'"):
        parse_data(f"ibug300w:{tmp_path}:comon")
    for text in ("ibug300w", "ibug300w:", ":x", ""):
        with pytest.raises(ValueError, match="NAME:ROOT"):
            parse_data(text)
