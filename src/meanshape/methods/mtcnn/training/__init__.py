"""How MTCNN learns: P-, R- and O-Net one after the other, each on what the ones before it let through."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np
import torch

from meanshape.core import config as configs
from meanshape.core.errors import ConfigError, DataSetError
from meanshape.core.face_box import full
from meanshape.core.image import Pixels, read_image
from meanshape.core.openers import looks_like_picture
from meanshape.core.sample import Sample
from meanshape.methods.base import Progress
from meanshape.methods.mtcnn import cascade
from meanshape.methods.mtcnn import network as nets
from meanshape.methods.mtcnn.config import Recipe
from meanshape.methods.mtcnn.session import Network
from meanshape.methods.mtcnn.training.faces import Faces, Floats, make_faces
from meanshape.methods.mtcnn.training.mining import mine, patch_scenes, sort_windows
from meanshape.methods.mtcnn.training.scenes import Scene, background, scenes
from meanshape.methods.mtcnn.training.stage import shares, train_stage
from meanshape.methods.mtcnn.training.windows import (
    LANDMARK,
    NEGATIVE,
    PART,
    POSITIVE,
    Samples,
    from_faces,
    from_photos,
    hang_over,
    textures,
)
from meanshape.training import checked
from meanshape.training.loop import of_this_run, read_checkpoint
from meanshape.training.run_folder import own_text

if TYPE_CHECKING:
    from meanshape.methods.mtcnn.config import Config

NAMES = ("pnet", "rnet", "onet")
SIZES = (12, 24, 48)
VIEWS = (6, 4, 4)
"""Windows cut per face, kind and stage."""
Pools = dict[int, Samples]


def train(
    samples: Sequence[Sample],
    negatives: str | Path | Sequence[Pixels] | None,
    out: Path,
    config: Config,
    seed: int,
    progress: Progress,
) -> Path:
    """Train the three networks into `out`; where checkpoints are, an interrupted training goes on."""
    out.mkdir(parents=True, exist_ok=True)
    _resume(out, config)
    faces, photos, recipe = gather(samples), read_photos(negatives, seed), config.recipe
    rules, again = recipe.rules, recipe.again > 0
    for turn, (number, second) in enumerate(
        [(0, False), *([(0, True)] if again else []), (1, False), (2, False)]
    ):
        name = f"{NAMES[number]}{'_again' if second else ''}"
        checkpoint = out / f"{name}.checkpoint.pt"
        steps = recipe.again if second else recipe.steps[number]
        if _done(checkpoint, steps):
            continue
        rng = np.random.default_rng([seed, turn])
        torch.manual_seed(seed + turn)
        share = turn / (3 + again)
        progress(share, f"{name}: cutting windows")
        pools = _pools(faces, photos, out, number, second, config, rng)
        net = build(config, number)
        if second:
            before = out / f"{NAMES[0]}.checkpoint.pt"
            with of_this_run(before):
                state = read_checkpoint(before)
                net.load_state_dict(checked.tensors(state["net"], net.state_dict(), "net"))
        train_stage(
            net, pools, recipe, nets.loss,
            steps=steps,
            counts=counts(recipe, number),
            alpha=rules.alpha_last if number == 2 else rules.alpha_first,
            seed=seed,
            checkpoint=checkpoint,
            report=lambda text, share=share, name=name: progress(share, f"{name}: {text}"),  # type: ignore[misc]
        )  # fmt: skip
        nets.export(net, out / f"{NAMES[number]}.onnx")
    for checkpoint in out.glob("*.checkpoint.pt"):
        checkpoint.unlink()
    return out


def _resume(out: Path, config: Config) -> None:
    """Refuse to go on with an unfinished training of other settings."""
    settings = out / "config.toml"
    unfinished = settings.exists() and any(out.glob("*.checkpoint.pt"))
    if unfinished and _written(type(config), settings) != config:
        raise ConfigError(f"{out} holds an unfinished run of other settings: choose another folder")
    configs.save(config, settings)


def _written(kind: type[Config], path: Path) -> Config:
    """Return the settings that a run's folder holds itself, not through a link."""
    try:
        text = own_text(path)
    except (OSError, ValueError) as error:
        raise ConfigError(f"{path}: cannot be read ({error}); choose another folder") from error
    return configs.from_toml(kind, text, where=str(path), written=True)


def _done(checkpoint: Path, steps: int) -> bool:
    if not checkpoint.exists():
        return False
    with of_this_run(checkpoint):
        return checked.whole(read_checkpoint(checkpoint), "step") >= steps


def counts(recipe: Recipe, number: int) -> dict[int, int]:
    """Return how many windows of each kind a batch of a stage holds."""
    rules = recipe.rules
    return (
        shares(min(recipe.batch, rules.batch_last), rules.ratio_last) if number == 2 else shares(recipe.batch)
    )


def _pools(
    faces: Faces,
    photos: list[Pixels],
    out: Path,
    number: int,
    second: bool,
    config: Config,
    rng: np.random.Generator,
) -> Pools:
    """Return the windows that a stage learns from: drawn at random, and mined by the stages before it."""
    recipe = config.recipe
    pools = _proposals(faces, photos, number, recipe, rng)
    if second:
        return _mistaken(pools, faces, photos, out, config, rng)
    if number:
        return _harder(pools, faces, photos, _finder(out, number, config, rng), number, recipe, rng)
    return pools


def build(config: Config, number: int) -> nets.PNet | nets.RNet | nets.ONet:
    """Return the untrained network of a stage."""
    if number == 0:
        return nets.PNet(config.pnet, config.activation, config.norm, config.stems[0], config.stride)
    if number == 1:
        return nets.RNet(config.rnet, config.activation, config.norm, config.stems[1])
    return nets.ONet(config.onet, config.activation, config.norm, config.stems[2])


def gather(samples: Sequence[Sample]) -> Faces:
    """Return the faces of samples with 68 points or what converts to five; incomplete ones are left out."""
    images: list[Callable[[], Pixels]] = []
    outlines: list[Floats] = []
    for sample in samples:
        if sample.shape is None:
            continue
        shape = full(sample.shape) or sample.shape.to("mtfl5")
        if np.isfinite(shape.points).all():
            shape.box()  # is an error where the points fall together
            images.append(sample.pixels)
            outlines.append(np.array(shape.points))
    if not outlines:
        raise DataSetError("no sample has all of its points: there is nothing to learn a face from")
    return make_faces(images, outlines)


def read_photos(negatives: str | Path | Sequence[Pixels] | None, seed: int) -> list[Pixels]:
    """Return people-free photos of a folder, or as given; without any, drawn textures."""
    if negatives is None:
        drawn = textures(24, 96, np.random.default_rng(seed))
        return [cv2.resize(t, (320, 240)) for t in drawn]
    if not isinstance(negatives, (str, Path)):
        return list(negatives)
    paths = [p for p in sorted(Path(negatives).rglob("*")) if p.is_file() and looks_like_picture(p)]
    if not paths:
        raise DataSetError(f"{negatives}: there are no pictures in this folder of negatives")
    return [read_image(path) for path in paths]


def _proposals(
    faces: Faces, photos: list[Pixels], number: int, recipe: Recipe, rng: np.random.Generator
) -> Pools:
    """Return windows drawn at random: what P-Net learns from, and a part of what the others do."""
    size, count = SIZES[number], recipe.random_windows[number]
    pools = from_faces(faces, size, recipe.rules, rng, VIEWS[number])
    for samples in pools.values():
        hang_over(samples.pixels, recipe.rules.cut, rng)
    drawn = [from_photos(photos, count, size, rng), textures(max(1, count // 20), size, rng)]
    hang_over(drawn[0], recipe.rules.cut, rng)
    pools[NEGATIVE] = Samples.join([pools[NEGATIVE], *map(Samples.negatives, drawn)])
    return pools


def _finder(out: Path, number: int, config: Config, rng: np.random.Generator) -> Callable[[Pixels], Floats]:
    """Return the stages before `number` as one search, at low thresholds and changing smallest faces."""
    pnet = Network(out / "pnet.onnx")
    rnet = Network(out / "rnet.onnx") if number == 2 else None

    def find(image: Pixels) -> Floats:
        scan = cascade.Scan(float(rng.choice([24, 32, 40])), 0.709, config.stride)
        crops = cascade.Crops(image)
        found = cascade.propose(crops, pnet, scan, config.recipe.mine_above[number - 1])
        if rnet is not None:
            found = cascade.refine(crops, rnet, found, config.recipe.mine_above[2])
        return cascade.square(found.boxes) if len(found) else found.boxes

    return find


def _mistaken(
    pools: Pools,
    faces: Faces,
    photos: list[Pixels],
    out: Path,
    config: Config,
    rng: np.random.Generator,
) -> Pools:
    """Return the pools with as many negatives that P-Net takes for faces as there are others."""
    pnet, recipe = Network(out / "pnet.onnx"), config.recipe
    groups = scenes(faces, photos, recipe.scenes // 4, rng)
    some = rng.permutation(len(faces))[: max(10, 5 * recipe.scenes)]
    cells = []
    for items, complete, most in (
        (_empty(photos, recipe.empty_scenes // 2, rng), True, 150),
        (groups, True, 200),
        (patch_scenes(faces, some.tolist(), rng), False, 15),
    ):
        for scene in items:
            scan = cascade.Scan(float(rng.choice([30, 40])), 0.709, config.stride)
            seen, pixels = cascade.cells(scene.image, pnet, scan, 0.4)
            wrong = sort_windows(seen, scene, complete)[0] == NEGATIVE
            cells.append(rng.permutation(pixels[wrong])[:most])
    mined = Samples.negatives(np.concatenate(cells))
    pools[NEGATIVE] = Samples.join(
        [mined, pools[NEGATIVE].take(rng.permutation(len(pools[NEGATIVE]))[: len(mined) + 1])]
    )
    return pools


def _empty(photos: list[Pixels], count: int, rng: np.random.Generator) -> Iterator[Scene]:
    for _ in range(count):
        yield Scene(background(photos, rng), np.empty((0, 4)), np.empty((0, 5, 2)))


def _harder(
    pools: Pools,
    faces: Faces,
    photos: list[Pixels],
    find: Callable[[Pixels], Floats],
    number: int,
    recipe: Recipe,
    rng: np.random.Generator,
) -> Pools:
    """Return the pools with what `find` passes on in pasted scenes, people-free photos and real photos."""
    size, most = SIZES[number], (0, 100, 60)[number]

    def cut(image: Pixels, squares: Floats, side: int) -> Pixels:
        return cascade.Crops(image)(squares, side)

    groups = scenes(faces, photos, recipe.scenes, rng)
    real = rng.permutation(len(faces))[: recipe.patches].tolist()
    mined = [
        mine(groups, find, cut, size, complete=True, most=most),
        mine(_empty(photos, recipe.empty_scenes, rng), find, cut, size, complete=True, most=most),
        mine(patch_scenes(faces, real, rng), find, cut, size, complete=False, most=20),
    ]
    kinds = (NEGATIVE, POSITIVE, PART, LANDMARK)
    return {k: Samples.join([pools[k], *(m[k] for m in mined if k in m)]) for k in kinds}
