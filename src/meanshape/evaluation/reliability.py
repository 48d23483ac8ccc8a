"""Are points as often right as their confidence says?

A point is right if it is off by at most `WITHIN` percent of the length that errors go by.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from meanshape.methods.shared.confidence import WITHIN

Array = NDArray[np.float64]
BINS = 10


def right_points(errors: Array) -> Array:
    """Return 1 where an error (in percent of its length) is small enough, 0 where not, NaN where unknown."""
    return np.where(np.isfinite(errors), errors <= WITHIN, np.nan)


def reliability(confidence: Array, errors: Array) -> dict[str, Any]:
    """Measure a confidence (N, K) against errors (N, K) in percent of the length that errors go by.

    Returns
    -------
    in percent: `right`, the share of right points; `mean`, the mean confidence; `ece`, by how much the two
    differ in ten equal parts of the points, by confidence, on average (`predicted`, `observed`). And, 50 by
    chance, how often of a right and a wrong point the right one has the higher confidence (`auroc`), the same
    if each point had its mean confidence on every face (`auroc_constant`), and how often of a face of the
    worst tenth and another the other has the higher mean (`auroc_faces`).
    """
    right = right_points(errors)
    known = np.isfinite(right) & np.isfinite(confidence)
    sure, good = confidence[known], right[known] == 1
    if not len(sure):
        return {}
    parts = [part for part in np.array_split(np.argsort(sure, kind="stable"), BINS) if len(part)]
    predicted = np.array([sure[part].mean() for part in parts])
    observed = np.array([good[part].mean() for part in parts])
    sizes = np.array([len(part) for part in parts])
    masked = np.ma.masked_array(confidence, ~known)
    constant = np.broadcast_to(masked.mean(0).filled(0), known.shape)[known]
    faces = known.any(1)
    face_errors = np.ma.masked_array(np.nan_to_num(errors), ~known).mean(1).filled(0)[faces]
    face_sure = masked.mean(1).filled(0)[faces]
    return {
        "faces": int(faces.sum()),
        "right": round(100 * float(good.mean()), 2),
        "mean": round(100 * float(sure.mean()), 2),
        "ece": round(100 * float(sizes @ np.abs(predicted - observed)) / len(sure), 2),
        "auroc": auroc(sure, good),
        "auroc_constant": auroc(constant, good),
        "auroc_faces": auroc(face_sure, face_errors <= np.quantile(face_errors, 0.9)),
        "predicted": np.round(100 * predicted, 1).tolist(),
        "observed": np.round(100 * observed, 1).tolist(),
    }


def auroc(scores: Array, good: NDArray[np.bool_]) -> float | None:
    """Return how often, of a good and a bad one, the good has the higher score: percent; ties count half."""
    many, few = int(good.sum()), int((~good).sum())
    if not many or not few:
        return None
    _, which, counts = np.unique(scores, return_inverse=True, return_counts=True)
    ranks = (np.cumsum(counts) - (counts - 1) / 2)[which]
    return round(100 * float(ranks[good].sum() - many * (many + 1) / 2) / (many * few), 2)
