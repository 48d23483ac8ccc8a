"""The same work on a Ray cluster of this one machine: the same lines, and a killed worker costs only time."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from meanshape.apps.cli import main
from meanshape.core.errors import OutputError
from meanshape.detectors.whole_image import WholeImage
from meanshape.inference import batch, ray_engine
from meanshape.inference.pipeline import Pipeline

pytestmark = [
    pytest.mark.xdist_group("ray"),
    pytest.mark.filterwarnings("ignore"),  # Ray's own, and of what it is built with
]


class KilledOnce(WholeImage):
    """Takes its process down at one photo, the first time."""

    def __init__(self, marker: str) -> None:
        super().__init__()
        self.marker = marker

    def detect(self, image: Any, **options: Any) -> Any:
        if str(options.get("source")).endswith("5.png") and not Path(self.marker).exists():
            Path(self.marker).touch()
            os._exit(9)
        return super().detect(image, **options)


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    ray = pytest.importorskip("ray")
    pytest.importorskip("pyarrow")
    path = str(Path(__file__).parent)
    ray.init(
        num_cpus=2, include_dashboard=False, log_to_driver=False, logging_level="error",
        object_store_memory=100_000_000, runtime_env={"env_vars": {"PYTHONPATH": path}},
    )  # fmt: skip
    yield ray
    ray.shutdown()


@pytest.fixture
def sources(tmp_path: Path, photo: Callable[..., Path]) -> list[str]:
    found = [str(photo(f"{number}.png", seed=number)) for number in range(20)]
    (tmp_path / "broken.png").write_bytes(b"no picture")
    return [*found, str(tmp_path / "broken.png")]


def test_ray_yields_what_one_process_does_though_a_worker_dies(
    cluster: Any, sources: list[str], model_folder: Path, tmp_path: Path
) -> None:
    marker = str(tmp_path / "killed")
    options = {"detector": KilledOnce(marker), "model": str(model_folder)}
    found = list(ray_engine.predict(options, sources, 2))
    assert Path(marker).exists()
    wanted = [p for p, _ in batch.predict(Pipeline("whole_image", str(model_folder)), sources)]
    plain = [{**p.to_dict(), "seconds": 0} for p in found]
    assert plain == [{**p.to_dict(), "seconds": 0} for p in wanted]
    assert found[-1].error is not None


def test_partitions_of_parquet_hold_every_photo(
    cluster: Any, sources: list[str], model_folder: Path, tmp_path: Path
) -> None:
    out = str(tmp_path / "points.parquet") + "/"
    listed = tmp_path / "list.txt"
    listed.write_text("\n".join(sources))
    arguments = ["detect", f"@{listed}", "-o", out, "--engine", "ray", "--workers", "2"]
    assert main([*arguments, "--model", str(model_folder), "--detector", "whole_image"]) == 0
    import pyarrow.parquet

    table = pyarrow.parquet.read_table(out).to_pylist()
    assert sorted(row["source"] for row in table) == sorted(sources)
    assert sum(row["error"] is not None for row in table) == 1
    assert all(len(row["x"]) == 68 for row in table if row["error"] is None)
    schemas = [pyarrow.parquet.read_schema(file) for file in Path(out).glob("*.parquet")]
    assert {"face", "x", "more"} <= set(schemas[0].names) and all(schema == schemas[0] for schema in schemas)
    with pytest.raises(OutputError, match="holds files already"):
        ray_engine.write_parquet({}, sources, out, 1)


def test_photos_may_lie_in_an_object_storage(photo: Callable[..., Path], model_folder: Path) -> None:
    fsspec = pytest.importorskip("fsspec")
    with fsspec.open("memory://bucket/a.png", "wb") as file:
        file.write(photo().read_bytes())
    pipeline = Pipeline("whole_image", model_folder)
    addresses = ["memory://bucket/a.png", "memory://bucket/none.png", "nosuch://x/y.png"]
    good, missing, unknown = (p for p, _ in batch.predict(pipeline, addresses))
    assert good.source == "memory://bucket/a.png" and len(good.faces) == 1
    assert "cannot be read" in str(missing.error) and "cannot be read" in str(unknown.error)
