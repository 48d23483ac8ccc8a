"""The one evaluation schema: `{"results": [...]}`, one object for each model and data argument.

Everything but milliseconds and bytes is in percent. What the data or the mark-up do not have is null.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from platform import python_version
from typing import Any

from meanshape.core.errors import FormatError, OutputError
from meanshape.core.metrics import NORMALISERS
from meanshape.evaluation import records
from meanshape.evaluation.labels import GROUPED_BY, accuracy, balanced_accuracy
from meanshape.evaluation.measures import Measures
from meanshape.evaluation.slices import as_plain, slices
from meanshape.formats.text import dump_json, parse_json, read_text, write_text

THRESHOLDS = (8, 10)
SAID = ("model", "data", "split", "norm", "markup", "box")
"""What a result is compared by."""
PACKAGES = ("meanshape", "numpy", "onnxruntime", "opencv-python-headless", "pillow", "scipy")


def evaluation_to_dict(found: Measures) -> dict[str, Any]:
    """Return an evaluation as plain values without NaN."""
    about, interval = found.about, found.interval()
    both = {key: truth for key, truth in found.labels.items() if key in found.answers}
    result = {
        "model": about.model,
        "data": about.data,
        "split": about.split,
        "seen": about.seen,
        "chosen": about.chosen,
        "count": len(found),
        "missed": int(found.missed.sum()),
        "broken": dict(about.broken),
        "box": about.box,
        "detector": about.detector,
        "threads": about.threads,
        "providers": list(about.providers),
        "bytes": about.bytes,
        "markup": found.markup.name,
        "norm": found.norm,
        "nme": {name: found.nme(name) for name in NORMALISERS},
        "nme_median": found.median(),
        "nme_interval": None if interval is None else list(interval),
        "points": found.points(),
        "groups": found.groups(),
        "auc": {str(limit): found.auc(limit) for limit in THRESHOLDS},
        "failure_rate": {str(limit): found.failure_rate(limit) for limit in THRESHOLDS},
        "point_failure": found.point_failure(),
        "accuracy": {key: accuracy(truth, found.answers[key]) for key, truth in both.items()},
        "balanced_accuracy": {
            key: balanced_accuracy(truth, found.answers[key]) for key, truth in both.items()
        },
        "unknown_labels": {key: dict(counts) for key, counts in about.unknown_labels.items()},
        "by": {key: found.by(key) for key in GROUPED_BY if key in found.labels},
        "slices": {key: as_plain(slices(found, key)) for key in found.groupings},
        "confidence": found.reliability(),
        "ms_per_face": found.milliseconds(),
        "versions": dict(about.versions),
        "errors": dict(zip(found.ids, found.per_face().tolist(), strict=True)),
    }
    return {key: _plain(value) for key, value in result.items()}


def versions() -> dict[str, str]:
    """Return the versions that a result depends on."""
    found = {"python": python_version()}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


def write_results(path: str | Path, results: Iterable[Measures | Mapping[str, Any]]) -> None:
    """Write results to a JSON file, which appears whole or not at all."""
    plain = [evaluation_to_dict(found) if isinstance(found, Measures) else dict(found) for found in results]
    write_file(path, dump_json({"results": plain}, indent=1) + "\n")


def read_results(path: str | Path) -> list[dict[str, Any]]:
    """Return the results in a JSON file."""
    data = parse_json(read_text(Path(path)), path)
    results = data.get("results") if isinstance(data, dict) else None
    if not isinstance(results, list) or not results:
        raise FormatError('wanted {"results": [...]} as meanshape evaluate --json writes it', path)
    for found in results:
        if not isinstance(found, dict) or not isinstance(found.get("errors"), dict):
            raise FormatError("a result has no errors by sample id", path)
        try:
            records.fits({key: found.get(key) for key in SAID}, {records.EACH: (str, None)})
            records.fits(found["errors"], records.NUMBERS, "errors")
        except ValueError as error:
            raise FormatError(f"not a result of meanshape evaluate --json ({error})", path) from error
    return results


def write_file(path: str | Path, text: str) -> None:
    """Write a text file that appears whole or not at all; its folder is made if need be."""
    try:
        write_text(Path(path), text)
    except OSError as error:
        raise OutputError(f"{path}: cannot be written ({error.strerror or error})") from error


def _plain(value: Any) -> Any:
    """Return a value with None for NaN, at any depth."""
    if isinstance(value, dict):
        return {key: _plain(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_plain(inner) for inner in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
