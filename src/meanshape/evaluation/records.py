"""What results must hold to be compared or reported: they may have been measured, and written, elsewhere."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from meanshape.core.errors import UnknownName
from meanshape.core.markup import markup

NUMBER, WHOLE, EACH, MOST = "a number", "a whole number", "*", 1000
"""Kinds of values; the key that stands for every key; the most groups, or worst faces, of one cell."""
LARGEST = 1e15

NUMBERS = {EACH: (NUMBER, None)}
_POINTS = [[(NUMBER, None)]]
_CELL: dict[str, Any] = {"model": str, "data": str, "box": str, "threads": WHOLE}
_RESULT: dict[str, Any] = {
    "model": str, "norm": str, "markup": str, "count": WHOLE, "missed": WHOLE, "bytes": (WHOLE, None),
    "nme": NUMBERS, "nme_median": (NUMBER, None), "nme_interval": ([NUMBER], None),
    "auc": {"8": (NUMBER, None)}, "failure_rate": {"8": (NUMBER, None)},
    "groups": NUMBERS, "points": NUMBERS, "errors": NUMBERS, "by": {EACH: NUMBERS},
    "ms_per_face": (NUMBER, None),
}  # fmt: skip
_CONFIDENCE: dict[str, Any] = {"predicted": [(NUMBER, None)], "observed": [(NUMBER, None)], "ece": NUMBER}
_CASE = {"id": str, "error": NUMBER, "true": _POINTS, "predicted": (_POINTS, None)}


def check(record: Any) -> None:
    """Refuse, by a `ValueError` that says what was wanted, a record that no report can be made of."""
    fits(record, {"cell": _CELL})
    if "machine" in record:
        fits(record["machine"], {"processor": str, "cores": (WHOLE, None)}, "machine")
    if "left_out" in record:
        fits(record, {"left_out": str})
    if "result" in record or "left_out" not in record:  # it is reported then
        fits(record, {"result": _RESULT, "worst": [_CASE]})
        _complete(record["result"], record["worst"])


def _complete(result: Mapping[str, Any], cases: list[Any]) -> None:
    """Check what depends on the mark-up, and on how many there are."""
    try:
        count = len(markup(result["markup"]))
    except UnknownName as error:
        raise ValueError(str(error)) from error
    several = [points for case in cases for points in (case["true"], case["predicted"]) if points is not None]
    if len(result["points"]) != count or any(len(points) != count for points in several):
        raise ValueError(f"wanted {count} points of {result['markup']}")
    if any(len(point) != 2 or (None in point and any(point)) for points in several for point in points):
        raise ValueError("wanted points of two numbers, or of null twice")
    if result["nme_interval"] is not None and len(result["nme_interval"]) != 2:
        raise ValueError("wanted an nme_interval of two numbers")
    if max(len(result["groups"]), len(cases)) > MOST:
        raise ValueError(f"wanted at most {MOST} groups and worst faces")
    if (confidence := result.get("confidence")) is not None:
        fits(confidence, _CONFIDENCE, "confidence")
        if len(confidence["predicted"]) != len(confidence["observed"]):
            raise ValueError("wanted as many predicted as observed shares of a confidence")


def fits(value: Any, kind: Any, where: str = "") -> None:
    """Check a value: of a type, one of several kinds, a table or a list of values of a kind."""
    if isinstance(kind, tuple):  # the kind, or None
        if value is not None:
            fits(value, kind[0], where)
    elif isinstance(kind, dict):
        if not isinstance(value, Mapping):
            raise ValueError(f"wanted a table{_of(where)}")
        for key in value if EACH in kind else kind:
            if key not in value:
                raise ValueError(f"it has no {key!r}{_of(where)}")
            fits(value[key], kind.get(key, kind.get(EACH)), f"{where}.{key}".lstrip("."))
    elif isinstance(kind, list):
        if not isinstance(value, list):
            raise ValueError(f"wanted a list{_of(where)}")
        for one in value:
            fits(one, kind[0], where)
    elif kind is str:
        if not isinstance(value, str):
            raise ValueError(f"wanted a text{_of(where)}")
    else:
        numbers = int if kind == WHOLE else (int, float)
        if not isinstance(value, numbers) or isinstance(value, bool) or not _is_small(value):
            raise ValueError(f"wanted {kind}{_of(where)}")


def _is_small(value: float) -> bool:
    return -LARGEST <= value <= LARGEST and not math.isnan(value)


def _of(where: str) -> str:
    return f" as {where[:60]!r}" if where else ""
