"""From pixels to results: one photo, many photos, and pictures of the results."""

from __future__ import annotations

from meanshape.inference.kept import detect
from meanshape.inference.pipeline import Pipeline

__all__ = ["Pipeline", "detect"]
