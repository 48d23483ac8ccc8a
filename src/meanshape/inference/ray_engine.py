"""The same work on a Ray cluster: actors hold the models, photos come from any file system.

A worker that is lost costs only time: its photos go to another.

Needs Ray: pip install 'meanshape[ray]'. On one machine, or wherever `RAY_ADDRESS` leads.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from meanshape.core.errors import MissingExtra, OutputError
from meanshape.core.prediction import Prediction
from meanshape.formats import jsonl

BATCH = 16
"""Photos that go to an actor together; what a killed actor has to do again."""


class Actor:
    """Holds a pipeline and answers batches of photos."""

    def __init__(self, options: Mapping[str, Any]) -> None:
        from meanshape.inference.pipeline import Pipeline

        self.pipeline = Pipeline(**options)

    def __call__(self, batch: dict[str, Any]) -> dict[str, list[str]]:
        """Return each photo's prediction as a line of JSON."""
        from meanshape.inference.batch import predict

        found = predict(self.pipeline, [str(source) for source in batch["source"]])
        return {"line": [jsonl.render(prediction) for prediction, _ in found]}


def predict(options: Mapping[str, Any], sources: Sequence[str], count: int) -> Iterator[Prediction]:
    """Yield the prediction of each photo, in order.

    Parameters
    ----------
    options : what each actor makes its `Pipeline` of
    sources : paths, or addresses of an object storage (s3://…, gs://…) that fsspec knows
    count : how many actors
    """
    for row in _lines(options, sources, count).iter_rows():
        yield jsonl.parse(row["line"])


def write_parquet(options: Mapping[str, Any], sources: Sequence[str], folder: str, count: int) -> int:
    """Write the predictions as a partitioned Parquet data set and return the number of files.

    The actors' machines write; nothing passes through this process. `folder` may be an address.
    """
    local = Path(folder)
    if "://" not in folder and local.is_dir() and any(local.iterdir()):
        raise OutputError(f"{folder}: holds files already; choose an empty folder")
    _lines(options, sources, count).map_batches(_table).write_parquet(folder)
    return len(list(local.glob("*.parquet"))) if "://" not in folder else -1


def _lines(options: Mapping[str, Any], sources: Sequence[str], count: int) -> Any:
    """Return the lazy data set of predictions, a line each, in the order of the photos."""
    ray = _ray()
    ray.data.DataContext.get_current().execution_options.preserve_order = True
    photos = ray.data.from_items(
        [{"source": source} for source in sources], override_num_blocks=max(1, len(sources) // BATCH)
    )
    return photos.map_batches(
        Actor, fn_constructor_args=(dict(options),), batch_size=BATCH, concurrency=count, num_cpus=1
    )


def _table(batch: dict[str, Any]) -> Any:
    """Return the table of Parquet that lines become: a row a face, the same columns in every partition."""
    from meanshape.formats import parquet

    return parquet.table([row for line in batch["line"] for row in parquet.rows(jsonl.parse(str(line)))])


def _ray() -> Any:
    """Return Ray, started if it is not: it tells nobody that it is used, and opens no page of its own."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    try:
        import ray
        import ray.data
    except ImportError as error:
        raise MissingExtra.of("ray", "The engine ray") from error
    if not ray.is_initialized():
        ray.init(include_dashboard=False, log_to_driver=False, logging_level=logging.ERROR)
    ray.data.DataContext.get_current().enable_progress_bars = False
    return ray
