"""Who is on the picture: one draw of identity, colours, hair and what they wear; and what their face does."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from meanshape.datasets.synthetic.arrays import Floats, f32
from meanshape.datasets.synthetic.head import Head, head, mirrored_names

EMOTIONS = ("neutral", "happy", "sad", "surprise", "fear", "disgust", "anger")

# Colours are linear light (the square of sRGB / 255), red green blue.
_SKINS = np.array([[0.86, 0.62, 0.52], [0.78, 0.52, 0.40], [0.68, 0.44, 0.31], [0.55, 0.34, 0.22],
                   [0.38, 0.22, 0.13], [0.22, 0.12, 0.07], [0.11, 0.062, 0.042]])  # fmt: skip
_HAIRS = {"black": (0.012, 0.010, 0.010), "dark": (0.035, 0.022, 0.016), "brown": (0.10, 0.055, 0.030),
          "light": (0.24, 0.145, 0.075), "blond": (0.50, 0.36, 0.18), "red": (0.30, 0.10, 0.035),
          "grey": (0.34, 0.33, 0.32), "white": (0.68, 0.67, 0.65)}  # fmt: skip
_IRISES = np.array(
    [[0.035, 0.018, 0.010], [0.09, 0.045, 0.018], [0.14, 0.11, 0.045], [0.12, 0.20, 0.30], [0.20, 0.28, 0.32]]
)


@dataclass(frozen=True, slots=True)
class Person:
    """One identity. Offsets are those of the head's control points (n, 3) mm; colours are linear (3,)."""

    offsets: Floats
    skin: Floats
    hair: Floats
    brow: Floats
    lips: Floats
    iris: Floats
    lip_strength: float
    brow_edge: float
    brow_strength: float
    beard: float
    moustache: float
    stubble: float
    lash: float
    age: float
    freckles: float
    gloss: float
    hairdo: str  # bald, short, parted, fringe, long, long_fringe
    hair_volume: float
    hairline: float
    ear: float
    seed: int


def draw_person(rng: np.random.Generator) -> Person:
    """Draw one identity."""
    h = head()
    tone = float(rng.beta(1.0, 1.35)) * (len(_SKINS) - 1)
    skin = np.array([np.interp(tone, np.arange(len(_SKINS)), _SKINS[:, k]) for k in range(3)])
    skin *= rng.normal(1, (0.05, 0.05, 0.07))
    female = rng.random() < 0.5  # only a bundle of habits in hair, lips and beard, never a label
    names = ["black", "dark", "brown", "light", "blond", "red", "grey", "white"]
    fair = np.clip(1 - tone / 2.5, 0, 1)
    weights = np.array([0.35, 0.3, 0.2 * (0.3 + fair), 0.2 * fair, 0.25 * fair, 0.06 * fair, 0.1, 0.06])
    hair_name = names[rng.choice(len(names), p=weights / weights.sum())]
    hair = np.array(_HAIRS[hair_name]) * rng.lognormal(0, 0.25)
    dark = np.array(_HAIRS["dark"])
    brow = np.minimum(hair, 0.35 * skin) * rng.uniform(0.5, 1) + 0.2 * dark
    redder = skin * rng.normal((0.80, 0.52, 0.52), 0.05)
    painted = np.array([rng.uniform(0.25, 0.6), rng.uniform(0.01, 0.1), rng.uniform(0.02, 0.12)])
    makeup = female and rng.random() < 0.5
    hairdos = (["short", "parted", "fringe", "long", "long_fringe"], [0.1, 0.12, 0.1, 0.44, 0.24]) if female else (
        ["bald", "short", "parted", "fringe", "long"], [0.13, 0.45, 0.24, 0.13, 0.05])  # fmt: skip
    age = float(rng.beta(1.2, 2))
    bearded = not female and rng.random() < 0.42
    return Person(
        offsets=_identity(h, rng),
        skin=np.clip(skin, 0.02, 0.95).astype(np.float32),
        hair=np.clip(hair, 0.004, 0.9).astype(np.float32),
        brow=np.clip(brow, 0.004, 0.5).astype(np.float32),
        lips=(painted if makeup else redder).astype(np.float32),
        iris=(_IRISES[rng.choice(5, p=(0.4, 0.25, 0.15, 0.12, 0.08) if tone < 2 else (0.7, 0.25, 0.05, 0, 0))]).astype(np.float32),
        lip_strength=float(rng.uniform(0.6, 0.95) if makeup else rng.uniform(0.25, 0.8)),
        brow_edge=float(rng.uniform(0.12, 0.5)),
        brow_strength=float(rng.uniform(0.35, 1.0)),
        beard=float(rng.uniform(0.4, 1.0) if bearded and rng.random() < 0.6 else 0),
        moustache=float(rng.uniform(0.4, 1.0) if bearded and rng.random() < 0.75 else 0),
        stubble=float(0 if female else rng.uniform(0, 0.45)),
        lash=float(rng.uniform(0.55, 1) if makeup else rng.uniform(0.2, 0.75)),
        age=age,
        freckles=float(rng.uniform(0, 1) if rng.random() < 0.25 else 0),
        gloss=float(rng.uniform(0.1, 0.9)),
        hairdo=str(rng.choice(hairdos[0], p=hairdos[1])),
        hair_volume=float(rng.uniform(4, 14)),
        hairline=float(rng.normal(0, 5) - 9 * age * (not female)),
        ear=float(rng.uniform(0.85, 1.2)),
        seed=int(rng.integers(1 << 30)),
    )  # fmt: skip


def _identity(h: Head, rng: np.random.Generator) -> Floats:
    """Control points of one identity: named modes, a smooth field of small offsets, and a little asymmetry."""
    offsets = h.control.copy()
    for mode in h.modes["identity"].values():
        offsets += np.float32(np.clip(rng.normal(), -2.5, 2.5)) * mode
    field = h.smooth @ rng.standard_normal((len(h.names), 3)).astype(np.float32)
    mirror = mirrored_names(h.names)
    field = 1.3 * 0.7 * (field + field[mirror] * f32([-1, 1, 1])) + 0.35 * field
    young = np.float32(max(rng.normal(-1, 1), 0))  # children: short, round faces, large eyes
    places = h.base_at(h.control_uv) + offsets
    lower = np.clip((places[:, 1] - 10) / 100, 0, 1.2)
    field[:, 1] -= young * 9 * lower
    field[:, 2] -= young * 2.5 * np.clip(places[:, 2] - 95, 0, 25) / 10
    return offsets + field


def _amount(rng: np.random.Generator, low: float, high: float) -> float:
    return float(rng.uniform(low, high))


def draw_expression(emotion: str, rng: np.random.Generator) -> dict[str, float]:
    """Strengths of the expression modes that show an emotion, drawn anew each time."""
    a = _amount
    moves: dict[str, float] = {}
    if emotion == "neutral":
        moves = {"smile": a(rng, -0.05, 0.15), "frown": a(rng, 0, 0.2), "press": a(rng, 0, 0.4)}
        if rng.random() < 0.25:  # talking
            moves |= {
                "jaw_open": a(rng, 0.05, 0.45),
                "pucker": a(rng, -0.1, 0.5),
                "teeth": a(rng, 0, 0.5),
                "press": 0,
            }
    elif emotion == "happy":
        s = a(rng, 0.45, 1.25)
        open_mouth = rng.random() < 0.75
        moves = {"smile": s, "squint": a(rng, 0, 0.5) * s, "teeth": a(rng, 0.5, 1.3) if open_mouth else 0,
                 "jaw_open": a(rng, 0, 0.4) * open_mouth * (1 + 1.2 * (rng.random() < 0.2)), "brow_raise": a(rng, -0.1, 0.3)}  # fmt: skip
    elif emotion == "sad":
        moves = {
            "frown": a(rng, 0.4, 1.1),
            "brow_inner": a(rng, 0.3, 1.1),
            "press": a(rng, 0, 0.5),
            "eye_close": a(rng, 0, 0.35),
        }
        if rng.random() < 0.25:
            moves |= {
                "jaw_open": a(rng, 0.1, 0.4),
                "stretch": a(rng, 0.2, 0.8),
                "teeth": a(rng, 0, 0.7),
                "press": 0,
            }
    elif emotion == "surprise":
        moves = {
            "brow_raise": a(rng, 0.5, 1.3),
            "eye_wide": a(rng, 0.3, 1.2),
            "jaw_open": a(rng, 0.35, 1.3),
            "pucker": a(rng, -0.2, 0.4),
        }
    elif emotion == "fear":
        moves = {"brow_raise": a(rng, 0.2, 0.8), "brow_inner": a(rng, 0.3, 0.9), "eye_wide": a(rng, 0.4, 1.2),
                 "stretch": a(rng, 0.3, 1), "jaw_open": a(rng, 0.05, 0.6), "teeth": a(rng, 0, 0.8)}  # fmt: skip
    elif emotion == "disgust":
        moves = {"nose_wrinkle": a(rng, 0.6, 1.3), "brow_lower": a(rng, 0.3, 0.9), "squint": a(rng, 0.3, 1), "frown": a(rng, 0, 0.7),
                 "teeth": a(rng, 0, 0.6) * (rng.random() < 0.5)}  # fmt: skip
    else:
        shout = rng.random() < 0.4
        moves = {"brow_lower": a(rng, 0.6, 1.3), "squint": a(rng, 0, 0.7), "press": 0 if shout else a(rng, 0.3, 1), "frown": a(rng, 0, 0.5),
                 "teeth": a(rng, 0.4, 1.1) * shout, "jaw_open": a(rng, 0, 0.7) * shout, "nose_wrinkle": a(rng, 0, 0.5)}  # fmt: skip
    if emotion in ("neutral", "happy") and rng.random() < 0.07:
        moves["eye_close"] = a(rng, 0.7, 1.0)
    elif "eye_close" not in moves:
        moves["eye_close"] = a(rng, -0.05, 0.2)
    moves["asymmetry"] = float(np.clip(rng.normal(0, 0.12), -0.4, 0.4))
    return moves


def express(person: Person, moves: dict[str, float]) -> Floats:
    """Control points of a person who does `moves`: (n, 3)."""
    h = head()
    offsets = person.offsets.copy()
    side = 1 + np.float32(moves.get("asymmetry", 0)) * np.tanh(h.control_uv[:, :1] / 25)
    for name, strength in moves.items():
        if name in h.modes["expression"] and strength:
            offsets += (
                np.float32(strength) * h.modes["expression"][name] * (1 if name.startswith("eye") else side)
            )
    _part_lids(h, offsets)
    return offsets


def _part_lids(h: Head, offsets: Floats) -> None:
    """Lids and lips may touch, not cross: the lower one gives way."""
    place = {name: i for i, name in enumerate(h.names)}
    base = h.base_at(h.control_uv)[:, 1]
    for upper, lower, gap in (
        ("43", "47", 0.5),
        ("44", "46", 0.5),
        ("63", "65", 0.25),
        ("62", "66", 0.25),
        ("inner_up", "inner_low", 0.2),
    ):
        for sign in ("", "-"):
            if sign + upper not in place:
                continue
            i, j = place[sign + upper], place[sign + lower]
            over = gap - (base[j] + offsets[j, 1] - base[i] - offsets[i, 1])
            if over > 0:
                share = 0.75 if upper in ("43", "44") else 0.5
                offsets[i, 1] -= over * share
                offsets[j, 1] += over * (1 - share)
