"""How faces are changed by the batch (`training/tensors.py`): settings alone, without torch."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Changes:
    """How faces of a batch are changed. Lengths in face boxes, angles in degrees, the rest probabilities."""

    turn: float = 18.0  # standard deviation
    shift: float = 0.03  # of the box, as a detector scatters
    scale: float = 0.035  # its logarithm
    loose: float = 0.25  # share of faces whose box scatters 2.5 times as much
    stretch: float = 0.06  # logarithm of width over height
    flip: float = 0.5
    light: float = 0.7
    grey: float = 0.15
    blur: float = 0.35
    noise: float = 0.2
    occluder: float = 0.25

    @classmethod
    def none(cls) -> Changes:
        """Return no changes at all."""
        return cls(*(0.0,) * len(cls.__dataclass_fields__))
