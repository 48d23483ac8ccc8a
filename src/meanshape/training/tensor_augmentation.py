"""Settings of the batch-wise augmentation of `training/tensors.py`; they import neither torch nor OpenCV."""

from __future__ import annotations

from dataclasses import asdict, dataclass


@dataclass(frozen=True, slots=True)
class TensorAugmentation:
    """Augmentation of a batch. Lengths in face boxes, angles in degrees, the rest probabilities."""

    rotation: float = 18.0  # standard deviation
    shift: float = 0.03  # standard deviation of the box's position, as of a detector
    scale: float = 0.035  # standard deviation of the logarithm of the box's size
    outliers: float = 0.25  # share of faces whose boxes vary 2.5 times as much
    stretch: float = 0.06  # standard deviation of the logarithm of the aspect ratio
    flip: float = 0.5
    colour: float = 0.7
    grey: float = 0.15
    blur: float = 0.35
    noise: float = 0.2
    occluder: float = 0.25

    @classmethod
    def none(cls) -> TensorAugmentation:
        """Return settings that change nothing."""
        return cls(*(0.0,) * len(cls.__dataclass_fields__))

    def stored(self) -> dict[str, float]:
        """Return the settings under the names that config files were once written with."""
        old = {"rotation": "turn", "outliers": "loose", "colour": "light"}
        return {old.get(name, name): value for name, value in asdict(self).items()}
