"""Who is on the picture: one draw of identity, colours, hair and beard; and what their face does."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

import numpy as np

from meanshape.core import toml
from meanshape.datasets.synthetic.arrays import Floats, f32
from meanshape.datasets.synthetic.head import Head, head

EMOTIONS = ("neutral", "happy", "sad", "surprise", "fear", "disgust", "anger")


@dataclass(frozen=True, slots=True)
class Person:
    """One identity.

    `offsets` (n, 3) mm: the head's control points; `skin`, `hair`, `brow`, `lips`, `iris`: linear colours
    (3,); `brow_edge`: the smaller, the thicker the brows; `hairdo`: bald, short, parted, fringe, long or
    long_fringe; `hair_volume`, `hairline`: mm; `ear`: its size, 1 is common; `hat`: its colour; `mottle`: how
    uneven the skin is, 1 is common; `seed`: for noise. All others: strengths, 0..1.
    """

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
    blush: float
    hairdo: str
    hair_volume: float
    hairline: float
    ear: float
    curl: float
    hat: Floats | None
    mottle: float
    seed: int


@cache
def people() -> dict[str, Any]:
    """The table of what people look like and do."""
    return toml.parse(files(__package__).joinpath("people.toml").read_text("utf-8"))


def _pick(table: dict[str, dict[str, Any]], fair: float, rng: np.random.Generator) -> Floats:
    """A colour (3,) from a table, by how often it comes with skins so fair (0..1)."""
    weights = np.array([row["always"] + fair * row["fair"] for row in table.values()])
    chosen = rng.choice(len(table), p=weights / weights.sum())
    return f32(list(table.values())[chosen]["color"])


def draw_person(rng: np.random.Generator) -> Person:
    """Draw one identity."""
    skins = np.array(people()["skins"])
    tone = float(rng.beta(1.0, 1.35)) * (len(skins) - 1)
    skin = np.array([np.interp(tone, np.arange(len(skins)), skins[:, k]) for k in range(3)])
    skin *= rng.normal((0.97, 0.92, 0.84), (0.05, 0.05, 0.07))
    fair = float(np.clip(1 - tone / 2.5, 0, 1))
    hair = _pick(people()["hairs"], fair, rng) * rng.lognormal(0, 0.25)
    habits = "one" if rng.random() < 0.5 else "other"
    painted = habits == "other" and rng.random() < 0.5
    bearded = habits == "one" and rng.random() < 0.42
    paint = rng.uniform((0.25, 0.01, 0.02), (0.6, 0.1, 0.12))
    bare = skin * rng.normal((0.78, 0.50, 0.52), 0.06)
    dark = np.array(people()["hairs"]["dark"]["color"])
    hairdos = people()["hairdos"][habits]
    age = float(rng.beta(1.2, 2))
    return Person(
        offsets=_identity(head(), rng),
        skin=f32(np.clip(skin, 0.02, 0.95)),
        hair=f32(np.clip(hair, 0.004, 0.9)),
        brow=f32(np.clip(np.minimum(hair, 0.35 * skin) * rng.uniform(0.4, 1) + 0.2 * dark, 0.004, 0.5)),
        lips=f32(np.clip(paint if painted else bare, 0.005, 1)),
        iris=_pick(people()["irises"], fair, rng),
        lip_strength=float(rng.uniform(0.6, 0.95) if painted else rng.uniform(0.45, 1.0)),
        brow_edge=float(rng.uniform(0.12, 0.5)),
        brow_strength=float(rng.uniform(0.35, 1.0)),
        beard=float(rng.uniform(0.4, 1.0) if bearded and rng.random() < 0.6 else 0),
        moustache=float(rng.uniform(0.4, 1.0) if bearded and rng.random() < 0.6 else 0),
        stubble=float(rng.beta(0.8, 1.8) * 0.45 if habits == "one" else 0),
        lash=float(rng.uniform(0.7, 1) if painted else rng.uniform(0.35, 0.85)),
        age=age,
        freckles=float(rng.uniform(0, 1) if rng.random() < 0.25 else 0),
        gloss=float(rng.uniform(0.1, 1.0)),
        blush=float(rng.uniform(0, 1)),
        hairdo=str(rng.choice(list(hairdos), p=list(hairdos.values()))),
        hair_volume=float(rng.uniform(4, 22)),
        hairline=float(rng.normal(-4, 5) - 9 * age * (habits == "one")),
        ear=float(rng.uniform(0.85, 1.2)),
        curl=float(rng.beta(0.6, 1.2)),
        hat=f32((rng.beta(0.7, 1.6) * (1 + rng.normal(0, 0.5, 3))).clip(0.006, 0.85))
        if rng.random() < people()["hats"]
        else None,
        mottle=float(rng.lognormal(0, 0.6)),
        seed=int(rng.integers(1 << 30)),
    )


@cache
def _identity_modes() -> Floats:
    """All modes of identity (modes, n, 3)."""
    return np.stack(list(head().modes["identity"].values()))


def _identity(h: Head, rng: np.random.Generator) -> Floats:
    """Control points of one identity: named modes, a smooth field of small offsets, a little asymmetry."""
    modes = _identity_modes()
    drawn = 0.85 * np.clip(rng.normal(size=len(modes)), -2.3, 2.3)
    offsets = h.control + np.tensordot(f32(drawn), modes, 1)
    field = h.smooth @ f32(rng.standard_normal((len(h.names), 3)))
    field = 0.75 * (field + field[h.mirror] * f32([-1, 1, 1])) + 0.25 * field
    young = np.float32(max(rng.normal(-1, 1), 0))  # children: short, round faces with short noses
    places = h.control_base + offsets
    field[:, 1] -= young * 9 * np.clip((places[:, 1] - 10) / 100, 0, 1.2)
    field[:, 2] -= young * 2.5 * np.clip(places[:, 2] - 95, 0, 25) / 10
    return f32(offsets + field)


def draw_emotion(rng: np.random.Generator) -> str:
    """Draw one of `EMOTIONS`, as often as people before cameras show them."""
    table = people()["emotions"]
    return str(rng.choice(EMOTIONS, p=[table[name] for name in EMOTIONS]))


def draw_moves(emotion: str, rng: np.random.Generator) -> dict[str, float]:
    """Strengths of the expression modes that show an emotion, drawn anew each time."""
    ways = people()["moves"][emotion]
    way = ways[rng.choice(len(ways), p=[way["weight"] for way in ways])]
    moves = {name: float(rng.uniform(*span)) for name, span in way.items() if name != "weight"}
    moves["asymmetry"] = float(np.clip(rng.normal(0, 0.12), -0.4, 0.4))
    return moves


def express(person: Person, moves: dict[str, float]) -> Floats:
    """Control points (n, 3) of a person who does `moves`."""
    h = head()
    offsets = person.offsets.copy()
    side = 1 + np.float32(moves.get("asymmetry", 0)) * np.tanh(h.control_uv[:, :1] / 25)
    for name, mode in h.modes["expression"].items():
        if strength := np.float32(moves.get(name, 0)):
            offsets += strength * mode * (1 if name.startswith("eye") else side)
    _part(h, offsets)
    return offsets


# Pairs that may touch but not cross: the upper and the lower one, the least distance (mm), who gives
# way how much
_EDGES = (
    ("43", "47", 0.5, 0.75),
    ("44", "46", 0.5, 0.75),
    ("63", "65", 0.25, 0.5),
    ("62", "66", 0.25, 0.5),
    ("inner_up", "inner_low", 0.2, 0.5),
)


def _part(h: Head, offsets: Floats) -> None:
    """Push lids and lips apart where they have crossed, in place."""
    height = h.control_base[:, 1]
    for upper, lower, gap, share in _EDGES:
        for sign in ("", "-"):
            if sign + upper not in h.place:
                continue
            i, j = h.place[sign + upper], h.place[sign + lower]
            over = gap - (height[j] + offsets[j, 1] - height[i] - offsets[i, 1])
            if over > 0:
                offsets[i, 1] -= over * share
                offsets[j, 1] += over * (1 - share)
