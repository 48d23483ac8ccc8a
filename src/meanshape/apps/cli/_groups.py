"""What `meanshape evaluate` prints of groups of faces (`--by`), and of detectors."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from meanshape.apps.cli import _console as console

if TYPE_CHECKING:
    from meanshape.core.sample import Sample
    from meanshape.evaluation import Evaluation

FEW = "few"
"""Stands beside groups that are too small to say much."""


def show(results: Sequence[Evaluation]) -> None:
    """Print a table of each grouping: faces of each group, and each model's figures with their intervals."""
    few = False
    for name in results[0].groupings:
        groups = [found.slices(name) for found in results]
        rows = []
        for label, one in groups[0].items():
            mark = FEW if one.few else ""
            rows.append([label, str(one.count), mark, *(_figure(made[label]) for made in groups)])
            few |= one.few
        models = [found.about.model or "?" for found in results]
        console.show(f"by {name}:")
        console.grid(rows, [name, "faces", "", *models], right=(1,))
    if few:
        console.show(_small())


def measure_detectors(
    names: Sequence[str],
    data: Mapping[str, Sequence[Sample]],
    by: Sequence[str],
    json: Path | None,
    device: str | None,
) -> None:
    """Measure detectors on data with boxes alone, print the tables and write the JSON."""
    from meanshape.core.errors import ConfigError
    from meanshape.datasets import origin, parse_data
    from meanshape.evaluation.detection import detect_all, measures_detectors
    from meanshape.evaluation.schema import write_file
    from meanshape.evaluation.seen import knows
    from meanshape.evaluation.starts import make_detector
    from meanshape.formats.text import dump_json

    if other := [text for text, samples in data.items() if not measures_detectors(samples)]:
        raise ConfigError(f"{other[0]} has points or labels: measure models on it apart from detectors")
    ready = [make_detector(name, device) for name in names]
    written = []
    for text, samples in data.items():
        name, _, split = parse_data(text)
        faces, found = origin(text).learnt_from[0], []
        for detector in ready:
            told = dict(zip(("seen", "chosen"), knows(detector.origin, faces), strict=True))
            found.append({**told, **detect_all(detector, samples, by).to_dict()})
        written += [{"data": name, "split": split, **one} for one in found]
        _show_detectors(f"{name}:{split}" if split else name, found, by)
    if json is not None:
        write_file(json, dump_json({"detectors": written}, indent=1) + "\n")


def _show_detectors(where: str, found: Sequence[Mapping[str, Any]], by: Sequence[str]) -> None:
    """Print how much detectors find."""
    from meanshape.evaluation.seen import CHOSEN, MARK, NOTE

    console.show(f"{where}: {found[0]['count']} faces of {found[0]['photos']} photos; recall in %, IoU 0.4")
    rows = [
        [
            f"{one['detector']}{f' {MARK}' if one['seen'] else ''}",
            _share(one["recall"], one["recall_interval"]),
            f"{one['false_per_photo']:.2f}",
        ]
        for one in found
    ]
    console.grid(rows, ["detector", "recall", "false boxes a photo"], right=(2,))
    if any(one["seen"] for one in found):
        console.show(NOTE)
    for one in found:
        if one["chosen"] and not one["seen"]:
            console.show(f"{one['detector']}: {CHOSEN}")
    few = False
    for name in by:
        groups = [one["slices"][name] for one in found]
        rows = []
        for label, one in groups[0].items():
            figures = [_share(made[label]["recall"], made[label]["interval"]) for made in groups]
            rows.append([label, str(one["count"]), FEW if one["few"] else "", *figures])
            few |= one["few"]
        console.show(f"by {name}:")
        console.grid(rows, [name, "faces", "", *(one["detector"] for one in found)], right=(1,))
    if few:
        console.show(_small())


def _figure(one: Any) -> str:
    """Return the NME of a group with its interval, or how often labels are right."""
    told = [] if one.nme is None else [_share(one.nme, one.interval)]
    return ", ".join([*told, *(f"{key} {value:.1f} % right" for key, value in one.accuracy.items())]) or "–"


def _share(value: float, interval: Sequence[float] | None) -> str:
    return f"{value:.2f}" + (f" ({interval[0]:.2f}–{interval[1]:.2f})" if interval else "")


def _small() -> str:
    from meanshape.evaluation.slices import FEW as LEAST

    return f"{FEW}: a group of fewer than {LEAST} faces, whose figure says little"
