"""What the API says of itself holds: schemathesis makes requests of it and reads the answers.

Few examples, the same in every run: what they find beyond that, tests by hand hold.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, seed, settings

from meanshape.apps.web.folder import Folder
from meanshape.apps.web.server import create_app
from meanshape.core.markup import markup

# All of it before a server's thread begins: pytest parses modules of plugins when they are imported, and
# Python 3.11 cannot parse in two threads at once (SystemError: AST constructor recursion depth mismatch).
schemathesis = pytest.importorskip("schemathesis", reason="pip install schemathesis")
checks = pytest.importorskip("schemathesis.specs.openapi.checks")
pytest.importorskip("schemathesis.specs.openapi.schemas")
NOT = [checks.positive_data_acceptance]  # no picture is made by chance
PATHS = (
    *("/v1/detect", "/v1/detect/batch", "/v1/steps", "/v1/modes/{model}"),
    *("/v1/health", "/v1/models", "/v1/markups", "/v1/markups/{name}"),
    *("/v1/folder", "/v1/folder/photo", "/v1/folder/label", "/v1/folder/place"),
)


@pytest.fixture(scope="module")
def api(photos: Path, served: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    root = tmp_path_factory.mktemp("api") / "mine"
    shutil.copytree(photos, root)
    address, stop = served(create_app(folder=Folder(root, markup("ibug68"))))
    yield schemathesis.openapi.from_url(f"{address}/v1/openapi.json")
    stop()


def test_every_path_is_tried(api: Any) -> None:
    assert {found.ok().path for found in api.get_all_operations()} == set(PATHS)


@pytest.mark.parametrize("path", PATHS)
def test_answers_as_it_says(api: Any, path: str) -> None:
    for found in api.get_all_operations():
        operation = found.ok()
        if operation.path != path:
            continue

        @seed(0)
        @settings(
            max_examples=8, derandomize=True, deadline=None, database=None,
            phases=[Phase.generate], suppress_health_check=list(HealthCheck),
        )  # fmt: skip
        @given(case=operation.as_strategy())
        def answers(case: Any) -> None:
            case.call_and_validate(excluded_checks=NOT)

        answers()
