"""The training loop: seeded, resumable after a kill, EMA, cosine by steps or time, a run folder with curves.

It knows no method: a task gives batches by step number, a loss and a validation figure. Since batches are a
pure function of (seed, step), the sampler's state is the step; what is written is module, EMA, optimiser,
torch's RNG, step and time.
"""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from pickle import UnpicklingError
from typing import Any, Protocol, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from meanshape.core.errors import OutputError, WeightsError, first_line
from meanshape.core.files import open_unlinked, replacing
from meanshape.training import checked
from meanshape.training.distributed import join, shared
from meanshape.training.run_folder import add_record

Batch = dict[str, NDArray[np.float32]]
FEWEST = 500
"""Steps between two validations, at least, of a run that steps end."""


@dataclass(frozen=True, slots=True)
class Schedule:
    """How long and how fast a network learns. ``minutes`` or ``steps`` end the cosine, whichever is given."""

    minutes: float | None = None
    steps: int | None = None
    batch: int = 32
    rate: float = 2e-3
    floor: float = 0.005
    warmup: int = 200
    weight_decay: float = 0.01
    ema: float = 0.998
    clip: float = 1.0
    validate_every: float = 60.0  # seconds, where minutes end the run
    validate_steps: int = 0  # where steps end it; 0: twenty times in all, but no sooner than after 500
    checkpoint_every: float = 120.0
    patience: int = 0  # validations without improvement before a stage is called done; 0: never

    @classmethod
    def of(cls, config: Any, *, constant: bool = False, **others: Any) -> Self:
        """The schedule that a method's config describes; ``others`` are what it does not, or what differs."""
        names = {"batch", "rate", "warmup", "weight_decay", "ema"} - others.keys()
        same = {name: getattr(config, name) for name in names}
        if constant:
            same["floor"] = 1.0
        return cls(**(same | others))


class Task(Protocol):
    """What the loop needs to know of a method."""

    def batch(self, step: int) -> Batch:
        """Arrays of batch ``step``; the same whenever asked."""

    def loss(self, module: nn.Module, batch: dict[str, Tensor]) -> Tensor:
        """Scalar loss."""

    def validate(self, module: nn.Module) -> dict[str, float]:
        """Figures of the averaged module; ``error`` decides which is best (lower)."""


def write_checkpoint(path: Path, state: Mapping[str, Any]) -> None:
    """Write tensors and numbers to a file, whole or not at all."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with replacing(path) as file:
            torch.save(dict(state), file)
    except OutputError:
        raise
    except (OSError, RuntimeError) as error:  # torch says with a RuntimeError that a disk is full
        raise OutputError(f"{path}: cannot be written ({first_line(error)})") from error


def read_checkpoint(path: Path) -> dict[str, Any]:
    """Read a checkpoint: tensors and numbers, never the part of pickle that runs programs."""
    try:
        with open_unlinked(path) as file:
            checked.check_stored(file)
            state = torch.load(file, weights_only=True)
    except UnpicklingError as error:  # torch would advise to read it all the same
        raise WeightsError(f"{path}: more than tensors and numbers, which is not read; remove it") from error
    except Exception as error:  # torch raises what zip files and it itself raise
        raise WeightsError(
            f"{path}: no checkpoint that can be read ({first_line(error)}); remove it"
        ) from error
    if not isinstance(state, dict):
        raise WeightsError(f"{path}: no checkpoint of a training; remove it")
    return state


@contextmanager
def of_this_run(path: Path) -> Iterator[None]:
    """Make what is wrong with a checkpoint's content a `WeightsError`."""
    try:
        yield
    except WeightsError:
        raise
    except (KeyError, ValueError, TypeError, AttributeError, RuntimeError, OverflowError) as error:
        raise WeightsError(
            f"{path}: a checkpoint of another network ({first_line(error)}); "
            "choose another folder, or remove it"
        ) from error


def fraction_done(schedule: Schedule, step: int, seconds: float) -> float:
    """0..1 along the cosine."""
    by_steps = step / schedule.steps if schedule.steps else 0.0
    by_time = seconds / (schedule.minutes * 60) if schedule.minutes else 0.0
    return min(1.0, max(by_steps, by_time))


def rate_at(schedule: Schedule, step: int, done: float) -> float:
    """Learning rate: linear warm-up, then a cosine down to ``floor`` of the rate."""
    warm = min(1.0, (step + 1) / max(1, schedule.warmup))
    return (
        schedule.rate * warm * (schedule.floor + (1 - schedule.floor) * 0.5 * (1 + math.cos(math.pi * done)))
    )


def channels_last(module: nn.Module) -> None:
    """Lay a module's weights out as convolutions on a processor want them."""
    module.to(memory_format=torch.channels_last)  # type: ignore[call-overload]


def backward(loss: Tensor) -> None:
    """Add a loss's gradients to those of what it was computed from."""
    loss.backward()  # type: ignore[no-untyped-call]


def named(progress: Callable[[float, str], None], name: str) -> Callable[[float, str], None]:
    """Return a report that puts a name in front of what it says."""
    return lambda share, text: progress(share, f"{name}: {text}")


class Trainer:
    """Trains the parameters of a module that require a gradient on a task."""

    def __init__(
        self, module: nn.Module, task: Task, schedule: Schedule, folder: Path | None, name: str, seed: int
    ):
        self.module, self.task, self.schedule, self.folder, self.name = module, task, schedule, folder, name
        self.world = join()
        self._loss = shared(module, task.loss, self.world)
        torch.manual_seed(seed)
        decayed = [p for p in module.parameters() if p.requires_grad and p.ndim > 1]
        plain = [p for p in module.parameters() if p.requires_grad and p.ndim <= 1]
        groups = [
            {"params": decayed, "weight_decay": schedule.weight_decay},
            {"params": plain, "weight_decay": 0.0},
        ]
        self.optimiser = torch.optim.AdamW(groups, lr=schedule.rate, betas=(0.9, 0.99))
        self.average = copy.deepcopy(module).eval().requires_grad_(False)
        self.step, self.seconds = 0, 0.0
        self.best: dict[str, float] = {}
        self.best_state: dict[str, Tensor] = {}
        self.stale = 0
        self.recent = math.nan  # the loss, smoothed
        self.stopped = False  # by Ctrl-C
        self._resume()

    # The run folder

    def _path(self, suffix: str) -> Path | None:
        return None if self.folder is None else self.folder / f"{self.name}{suffix}"

    def _resume(self) -> None:
        path = self._path(".checkpoint.pt")
        if path is None or not path.exists():
            return
        state = read_checkpoint(path)
        with of_this_run(path):
            own = self.module.state_dict()
            self.module.load_state_dict(checked.tensors(state["module"], own, "module"))
            self.average.load_state_dict(checked.tensors(state["average"], own, "average"))
            self.optimiser.load_state_dict(checked.of_optimiser(state["optimiser"], self.optimiser))
            torch.set_rng_state(state["rng"])
            self.step, self.stale = checked.whole(state, "step"), checked.whole(state, "stale")
            self.seconds, self.best = checked.seconds(state), checked.figures(state)
            best = state["best_state"]
            self.best_state = checked.tensors(best, own, "best_state") if self.best or best else {}

    def checkpoint(self) -> None:
        """Write all that resuming needs, atomically."""
        path = self._path(".checkpoint.pt")
        if path is None or not self.world.first:
            return
        state = {
            "module": self.module.state_dict(),
            "average": self.average.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "rng": torch.get_rng_state(),
            "step": self.step,
            "seconds": self.seconds,
            "stale": self.stale,
            "best": self.best,
            "best_state": self.best_state,
        }
        write_checkpoint(path, state)

    def _log(self, record: dict[str, Any]) -> None:
        path = self._path(".jsonl")
        if path is not None and self.world.first:
            add_record(path, record)

    # Learning

    def _update(self, batch: Batch, rate: float) -> float:
        for group in self.optimiser.param_groups:
            group["lr"] = rate
        tensors = {key: torch.from_numpy(value) for key, value in batch.items()}
        loss = self._loss(tensors)
        self.optimiser.zero_grad(set_to_none=True)
        backward(loss)
        parameters = [p for p in self.module.parameters() if p.requires_grad]
        torch.nn.utils.clip_grad_norm_(parameters, self.schedule.clip)
        self.optimiser.step()
        self.world.alike(self.module)
        self._average()
        return float(loss.detach())

    def _average(self) -> None:
        decay = min(self.schedule.ema, (1 + self.step) / (10 + self.step))
        with torch.no_grad():
            live = self.module.state_dict()
            for key, value in self.average.state_dict().items():
                if value.dtype.is_floating_point:
                    value.lerp_(live[key], 1 - decay)
                else:
                    value.copy_(live[key])

    def _validate(self) -> bool:
        """Measure the averaged module and keep it when best; False when patience has run out."""
        figures = self.task.validate(self.average)
        if not self.best or figures["error"] <= self.best["error"]:
            self.best = figures
            self.best_state = {k: v.clone() for k, v in self.average.state_dict().items()}
            self.stale = 0
        else:
            self.stale += 1
        self._log({"step": self.step, "seconds": round(self.seconds, 1), "loss": self.recent, **figures})
        return not (self.schedule.patience and self.stale >= self.schedule.patience)

    def _due(self, checked: float) -> bool:
        """Tell whether to validate: by steps where steps end the run, so that any machine chooses alike."""
        steps = self.schedule.steps
        if steps and self.schedule.minutes is None:
            return self.step % (self.schedule.validate_steps or max(FEWEST, steps // 20)) == 0
        return self.seconds - checked >= self.schedule.validate_every

    def run(self, progress: Callable[[float, str], None] | None = None) -> dict[str, float]:
        """Train to the end of the schedule; Ctrl-C stops early. The module ends with the best averaged
        weights.
        """
        mark, saved, checked = time.monotonic(), self.seconds, self.seconds
        with ThreadPoolExecutor(1) as loader:
            try:
                following = loader.submit(self.task.batch, self.world.batch(self.step))
                while (done := fraction_done(self.schedule, self.step, self.seconds)) < 1:
                    batch = following.result()
                    following = loader.submit(self.task.batch, self.world.batch(self.step + 1))
                    self.module.train()
                    loss = self._update(batch, rate_at(self.schedule, self.step, done))
                    self.recent = loss if math.isnan(self.recent) else 0.98 * self.recent + 0.02 * loss
                    self.step += 1
                    now = time.monotonic()
                    self.seconds, mark = self.world.agreed(self.seconds + now - mark), now
                    if self._due(checked):
                        checked = self.seconds
                        if not self._validate():
                            break
                        if progress and self.world.first:
                            progress(
                                done,
                                f"step {self.step}, loss {self.recent:.4f}, error {self.best['error']:.3f}",
                            )
                    if self.seconds - saved >= self.schedule.checkpoint_every:
                        saved = self.seconds
                        self.checkpoint()
            except KeyboardInterrupt:
                self.stopped = True
        self._validate()
        self.module.load_state_dict(self.best_state)
        self.checkpoint()
        return self.best
