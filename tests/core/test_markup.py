import pickle

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from meanshape.core.errors import MarkUpError, UnknownName
from meanshape.core.markup import MarkUp, from_toml, markup, markup_names, markups_in, to_toml
from meanshape.core.shape import Shape

COUNTS = {
    "ibug68": 68,
    "ibug51": 51,
    "ibug49": 49,
    "lfpw29": 29,
    "mtfl5": 5,
    "imm73": 73,
    "imm58": 58,
    "xm2vts68": 68,
    "multipie39": 39,
    "ar130": 130,
    "muct76": 76,
    "put30": 30,
    "bioid20": 20,
    "aflw21": 21,
    "aflw19": 19,
    "lfpw35": 35,
    "afw6": 6,
    "helen194": 194,
    "wflw98": 98,
    "mediapipe478": 478,
}
NAMES = markup_names()
SIDED = [name for name in NAMES if markup(name).sides]
PAIRS = [(a, b) for a in NAMES for b in markup(a).conversions]
SIDED_PAIRS = [(a, b) for a, b in PAIRS if a in SIDED and b in SIDED]


def some_points(count):
    coordinate = st.floats(-1e4, 1e4, width=32)
    return arrays(np.float64, (count, 2), elements=coordinate)


def test_mark_ups_are_there_with_their_counts():
    assert {name: len(markup(name)) for name in COUNTS} == COUNTS


@pytest.mark.parametrize("name", SIDED)
def test_mirror_swaps_left_and_right_names_groups_and_eyes(name):
    kind = markup(name)
    swap = {"left": "right", "right": "left"}
    for i, j in enumerate(kind.mirror):
        assert kind.points[j] == "_".join(swap.get(word, word) for word in kind.points[i].split("_"))
    for group, indices in kind.groups.items():
        other = "_".join(swap.get(word, word) for word in group.split("_"))
        assert {kind.mirror[i] for i in indices} == set(kind.groups[other])
    assert {kind.mirror[i] for i in kind.left_eye} == set(kind.right_eye)
    edges = {frozenset(edge) for edge in kind.edges}
    assert {frozenset(kind.mirror[i] for i in edge) for edge in edges} == edges


def test_ibug68_mirror_is_that_of_the_literature():
    pairs = "36-45 37-44 38-43 39-42 40-47 41-46 48-54 49-53 50-52 55-59 56-58 60-64 61-63 65-67 17-26 31-35"
    mirror = markup("ibug68").mirror
    assert all(mirror[i] == 16 - i for i in range(17))
    assert all(mirror[int(a)] == int(b) for a, b in (pair.split("-") for pair in pairs.split()))
    assert [i for i in range(68) if mirror[i] == i] == [8, 27, 28, 29, 30, 33, 51, 57, 62, 66]


def test_left_is_the_subjects():
    kind = markup("ibug68")
    assert kind.groups["left_eye"] == tuple(range(42, 48))  # on the right of the picture
    assert kind.inter_ocular == (36, 45)
    assert markup("mtfl5").points == (
        "right_eye",
        "left_eye",
        "nose",
        "right_mouth_corner",
        "left_mouth_corner",
    )


def test_contour_and_inner_part_the_68():
    groups = markup("ibug68").groups
    assert groups["contour"] + groups["inner"] == tuple(range(68))


@given(some_points(68))
def test_68_to_the_others(points):
    kind = markup("ibug68")
    assert np.array_equal(kind.convert(points, "ibug51"), points[17:])
    assert np.array_equal(kind.convert(points, "ibug49"), np.delete(points, [*range(17), 60, 64], axis=0))
    five = [points[36:42].mean(0), points[42:48].mean(0), points[30], points[48], points[54]]
    assert np.allclose(kind.convert(points, "mtfl5"), five, atol=1e-9)


@pytest.mark.parametrize(("name", "to"), SIDED_PAIRS)
@given(data=st.data())
def test_conversion_commutes_with_mirroring(name, to, data):
    kind, other = markup(name), markup(to)
    points = data.draw(some_points(len(kind)))
    flip = np.array([-1, 1])
    first = kind.convert(points[list(kind.mirror)] * flip, other)
    last = kind.convert(points, other)[list(other.mirror)] * flip
    assert np.allclose(first, last, atol=1e-8, equal_nan=True)


@pytest.mark.parametrize(
    ("name", "to"),
    [
        ("ibug68", "mtfl5"),
        ("ibug68", "lfpw29"),
        ("ibug51", "lfpw29"),
        ("wflw98", "ibug49"),
        ("muct76", "lfpw29"),
    ],
)
@given(data=st.data())
def test_conversion_by_way_of_another_is_the_same(name, to, data):
    kind = markup(name)
    points = data.draw(some_points(len(kind)))
    direct = kind.convert(points, to)
    for between in set(kind.conversions) & {a for a, b in PAIRS if b == to}:
        detour = markup(between).convert(kind.convert(points, between), to)
        there = ~np.isnan(detour)
        assert np.allclose(detour[there], direct[there], atol=1e-8)


@pytest.mark.parametrize(("name", "to"), PAIRS)
def test_same_name_means_same_place(name, to):
    """A point of both mark-ups is taken over, or is the mean of points around it."""
    kind, other = markup(name), markup(to)
    for target, sources in zip(other.points, kind.conversion(to).sources, strict=True):
        if target in kind.points and len(sources) == 1:
            assert kind.points[sources[0]] == target
    assert kind.conversion(to).loses


def test_a_missing_point_does_not_spread():
    points = np.zeros((68, 2))
    points[36] = np.nan
    five = markup("ibug68").convert(points, "mtfl5")
    assert np.isnan(five[0]).all()
    assert not np.isnan(five[1:]).any()


def test_points_without_counterpart_are_nan():
    converted = markup("ibug68").convert(np.zeros((68, 2)), "lfpw29")
    kind = markup("lfpw29")
    nowhere = [kind.points[i] for i in np.flatnonzero(np.isnan(converted).any(1))]
    assert nowhere == ["right_brow_bottom", "left_brow_bottom"]


def test_many_shapes_at_once():
    points = np.random.default_rng(0).normal(size=(3, 4, 68, 2))
    many = markup("ibug68").convert(points, "lfpw29")
    assert many.shape == (3, 4, 29, 2)
    assert np.allclose(many[1, 2], markup("ibug68").convert(points[1, 2], "lfpw29"), equal_nan=True)


def test_no_way_back_says_which_ways_there_are():
    with pytest.raises(MarkUpError, match="mtfl5 cannot become ibug68"):
        markup("mtfl5").convert(np.zeros((5, 2)), "ibug68")
    with pytest.raises(MarkUpError, match=r"ibug51 has points \(51, 2\), not \(68, 2\)"):
        markup("ibug51").convert(np.zeros((68, 2)), "mtfl5")


@pytest.mark.parametrize("wrong", ["ibug86", "IBUG68", "ibug6"])
def test_an_unknown_mark_up_offers_the_nearest(wrong):
    with pytest.raises(UnknownName, match="did you mean 'ibug68'"):
        markup(wrong)
    with pytest.raises(KeyError):
        markup("ibug68").convert(np.zeros((68, 2)), wrong)


def test_an_unknown_point_offers_the_nearest():
    with pytest.raises(UnknownName, match="did you mean 'left_eye'"):
        markup("ibug68").indices("left_eyes")


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"points": ("a", "a")}, "each once"),
        ({"points": ("a", "b"), "mirror": (1, 1)}, "permutation"),
        ({"points": ("a", "b", "c"), "mirror": (1, 2, 0)}, "undoes itself"),
        ({"points": ("left_a", "b")}, "right_a"),
        ({"points": ("a",), "edges": ((0, 1),)}, "edges"),
        ({"points": ("a",), "groups": {"a": (0,)}}, "both points and groups"),
        ({"points": ("a",), "groups": {"b": (3,)}}, "group 'b'"),
    ],
)
def test_a_mark_up_that_contradicts_itself(wrong, said):
    with pytest.raises(MarkUpError, match=said):
        MarkUp("mine", **wrong)


@pytest.mark.parametrize(
    "name", ["../evil", "/tmp/evil", "a/b", "", ".", "..", "a\0b", ".hidden", "x.toml", 7]
)
def test_a_mark_ups_name_is_no_path(name):
    with pytest.raises(MarkUpError, match="cannot be called"):
        MarkUp(name, points=("a",), mirror=(0,))


def test_pickles_and_hashes():
    kind = markup("lfpw29")
    again = pickle.loads(pickle.dumps(kind))
    assert again == kind
    assert hash(again) == hash(kind)


def test_an_own_mark_up_is_written_and_read_back():
    kind = MarkUp(
        "eyes 4",
        ("right_eye_outer", "right_eye_inner", "left_eye_inner", "left_eye_outer"),
        groups={"right_eye": (0, 1), "left_eye": (2, 3)},
        edges=((0, 1), (2, 3)),
        inter_ocular=(0, 3),
        left_eye=(2, 3),
        right_eye=(0, 1),
        title='with "quotes" and ä',
    )
    assert from_toml("?", to_toml(kind)) == kind
    for name in NAMES:
        assert from_toml("?", to_toml(markup(name))) == markup(name)


def test_without_sides_nothing_is_mirrored():
    kind = from_toml("numbers", 'points = ["a", "b"]\nmirror = "unknown"')
    assert not kind.sides
    with pytest.raises(MarkUpError, match="numbers does not say which of its points are left and right"):
        Shape(np.zeros((2, 2)), kind).mirrored(10)
    assert from_toml("?", to_toml(kind)) == kind


def test_what_a_conversion_would_lose_is_named():
    with pytest.raises(MarkUpError, match="put30 cannot become mtfl5: it has no right_eye, left_eye, nose"):
        markup("put30").convert(np.zeros((30, 2)), "mtfl5")
    with pytest.raises(
        MarkUpError, match=r"it has no right_jaw_1, .* and 50 more points; it converts to mtfl5"
    ):
        markup("bioid20").conversion("ibug68")


def test_mesh_and_contours_become_the_68():
    """On a face whose points are drawn, each converted point is where the 68 have it."""
    wflw, ibug = markup("wflw98"), markup("ibug68")
    points = np.random.default_rng(0).normal(size=(98, 2))
    there = wflw.convert(points, "ibug68")
    assert np.array_equal(there[0], points[0]) and np.array_equal(there[8], points[16])
    assert np.array_equal(there[list(ibug.groups["mouth"])], points[76:96])
    assert len({tuple(s) for s in markup("mediapipe478").conversion("ibug68").sources}) == 68


def test_a_mark_up_of_ones_own_is_a_file_and_then_a_name(tmp_path):
    path = tmp_path / "two.toml"
    path.write_text('points = ["left_end", "right_end"]\n')
    kind = markup(str(path))
    assert kind.name == "two" and kind.mirror == (1, 0) and markup("two") is kind
    (tmp_path / "ibug68.toml").write_text('points = ["a"]\nmirror = [0]\n')
    with pytest.raises(MarkUpError, match="call yours something else"):
        markup(str(tmp_path / "ibug68.toml"))
    with pytest.raises(MarkUpError, match="cannot be read"):
        markup(str(tmp_path / "none.toml"))


def test_a_link_in_a_folder_is_none_of_its_mark_ups(tmp_path):
    """What it leads to is somebody else's: a sentence about it would tell what it holds."""
    folder, outside = tmp_path / "folder", tmp_path / "secret.toml"
    folder.mkdir()
    outside.write_text("not TOML: a password")
    (folder / "mine.toml").symlink_to(outside)
    assert markups_in(folder) == []
