"""Sets with `.pts` files in mark-ups of their own, the packed WIDER FACE, and what nothing may learn from."""

from __future__ import annotations

import numpy as np
import pytest
from real_data import DATA

import meanshape as ms
from meanshape.core.box import Box
from meanshape.core.errors import DataSetError, FormatError, ShapeError
from meanshape.core.markup import markup
from meanshape.datasets import fgnet, ibug300w, infanface, load_data, scut_fbp5500, webmorph, widerface
from meanshape.datasets.parts.boxes import canonical_box_from_five
from meanshape.datasets.parts.drawing import draw
from meanshape.formats.text import write_text
from meanshape.methods.mean_shape import MeanShape


def by_id(samples):
    return {sample.id: sample for sample in samples}


def test_fgnet_says_person_and_age(tmp_path):
    found = by_id(fgnet.samples(fgnet.miniature(tmp_path)))
    assert found["001a31b"].attributes == {"person": "001", "age": 31}
    assert {key: sample.split for key, sample in found.items()} == {
        "001a02": "train", "001a31b": "train", "002a07": "validation",
    }  # fmt: skip
    shape = found["001a02"].shape
    assert shape.markup.name == "xm2vts68"
    assert found["001a02"].box == canonical_box_from_five(shape.to("mtfl5").points)


def test_scut_says_the_group(tmp_path):
    found = by_id(scut_fbp5500.samples(scut_fbp5500.miniature(tmp_path)))
    assert found["CM12"].attributes == {"ethnicity": "caucasian", "gender": "male"}


def test_webmorph_says_what_people_stated(tmp_path):
    found = by_id(webmorph.samples(webmorph.miniature(tmp_path)))
    london = found["neutral_front/001_03"].attributes
    assert london == {"person": "neutral_front/001", "gender": "female", "ethnicity": "white", "age": 24}
    assert found["canada/003f"].attributes == {"person": "canada/003f", "gender": "female", "age": 19}
    assert found["composite/f_multi"].attributes == {"person": "composite/f_multi"}


@pytest.mark.parametrize("name", ["xm2vts68", "muct76", "scut86", "webmorph189"])
def test_only_points_that_agree_become_ibug_s(name):
    kind = markup(name)
    there = [bool(many) for many in kind.conversion("ibug68").sources]
    ours, theirs = set(np.flatnonzero(there)), markup("ibug68")
    assert {36, 39, 42, 45, 48, 51, 54} <= ours and len(ours) in (8, 9)
    assert {theirs.mirror[i] for i in ours} == ours
    assert kind.inter_ocular == tuple(kind.conversion("ibug68").sources[i][0] for i in (36, 45))


def test_a_model_of_68_points_is_measured_where_the_two_agree(tmp_path):
    samples = webmorph.samples(webmorph.miniature(tmp_path / "webmorph"))
    model = MeanShape().fit(ibug300w.samples(ibug300w.miniature(tmp_path / "300w"), "train"))
    found = ms.evaluate(model, samples)
    assert found.markup.name == "ibug68"
    assert np.isfinite(found.errors).all(0).sum() == 9


def test_two_mark_ups_of_68_points_are_not_learnt_together(tmp_path):
    mixed = [
        *fgnet.samples(fgnet.miniature(tmp_path / "fgnet")),
        *ibug300w.samples(ibug300w.miniature(tmp_path / "300w"), "train"),
    ]
    for name in ("mean_shape", "dan"):
        with pytest.raises(ShapeError, match="one mark-up"):
            ms.core.registry.method(name).tiny().fit(mixed)


def test_nothing_learns_from_infants(tmp_path, capsys):
    from meanshape.apps.cli import main

    root = infanface.miniature(tmp_path / "infants")
    infants = infanface.samples(root, "all")
    others = ibug300w.samples(ibug300w.miniature(tmp_path / "300w"), "train")
    for train, valid in (([*others, infants[0]], None), (others, infants)):
        with pytest.raises(DataSetError, match="evaluation only"):
            MeanShape().fit(train, valid)
    asked = ["train", "mean_shape", "--data", f"infanface:{root}", "--out", str(tmp_path / "run")]
    assert main(asked) == DataSetError.exit_code
    assert "evaluation only" in capsys.readouterr().err and not (tmp_path / "run" / "card.toml").exists()
    assert len(ms.evaluate(MeanShape().fit(others), infants)) == 2


def test_nothing_is_calibrated_on_infants(tmp_path):
    from meanshape.evaluation.calibration import calibrate

    infants = infanface.samples(infanface.miniature(tmp_path / "infants"))
    others = ibug300w.samples(
        ibug300w.miniature(
            tmp_path / "300w",
        ),
        "train",
    )
    with pytest.raises(DataSetError, match="evaluation only"):
        calibrate(MeanShape().fit(others), infants, others)


def packed(root, faces):
    """Write a packed copy of WIDER FACE; return its root."""
    text = "# file and number of faces\n"
    for number, (name, rows) in enumerate(faces.items()):
        draw(root / name, number)
        text += f"{name} {len(rows)}\n" + "".join(f"{row}\n" for row in rows)
    write_text(root / "faces.txt", text)
    return root


def test_a_packed_wider_has_blur_and_occlusion(tmp_path):
    faces = {"a photo.jpg": ["40 30.5 70 80 2 1 0", "1 1 9 9 0 0 1"], "b.jpg": [], "c.jpg": ["5 6 7 0 0 2 0"]}
    root = packed(tmp_path, faces)
    found = widerface.samples(root)
    assert [s.id for s in found] == ["a photo#1", "a photo#2", "c#1"]
    assert found[0].own_box == Box(40, 30.5, 110, 110.5) and found[2].own_box is None
    assert found[0].attributes == {"blur": 2, "occlusion": 1, "invalid": 0}
    with pytest.raises(DataSetError, match=r"validation\.txt"):
        widerface.samples(root, "validation")
    write_text(root / "validation.txt", "c\n")
    assert [s.id for s in widerface.samples(root, "validation")] == ["c#1"]
    assert [s.id for s in widerface.samples(root, "train")] == ["a photo#1", "a photo#2"]
    assert len(widerface.samples(root, "trainval")) == 3


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a.jpg 2\n1 1 9 9 0 0 0\n", "wanted 2 faces"),
        ("a.jpg 1\n1 1 9 9 0 0\n", "wanted 7 numbers"),
        ("a.jpg\n", "number of faces"),
        ("a.jpg -1\n", "number of faces"),
    ],
)
def test_a_packed_list_that_is_wrong_is_an_error(tmp_path, text, said):
    draw(tmp_path / "a.jpg", 0)
    write_text(tmp_path / "faces.txt", text)
    with pytest.raises(FormatError, match=said):
        widerface.samples(tmp_path)


@pytest.mark.data
@pytest.mark.parametrize(
    ("data", "train", "validation"),
    [
        ("fgnet:fgnet", 677, 142),
        ("scut_fbp5500:scut86", 600, 100),
        ("webmorph:webmorph189", 127, 25),
        ("infanface:infanface", 230, None),
    ],
)
def test_the_real_copies_are_read_and_agree_with_dan(data, train, validation):
    name, _, where = data.partition(":")
    samples = load_data(f"{name}:{DATA / where}")
    held_out = [s for s in samples if s.split == "validation"]
    assert len(samples) - len(held_out) == train and len(held_out) == (validation or 0)
    found = ms.evaluate("dan", samples[:: max(1, len(samples) // 20)])
    assert found.nme() < (15 if name == "infanface" else 3.6)  # many infants lie on their sides


@pytest.mark.data
def test_the_real_wider_is_read():
    samples = load_data(f"widerface:{DATA / 'wider'}")
    assert len(samples) == 3188 and len({s.image for s in samples}) <= 440
    photos = {s.image for s in samples if s.split == "validation"}
    assert 60 <= len(photos) <= 88
