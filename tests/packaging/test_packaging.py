"""What is installed: the same bytes twice, not too many, all that is needed and nothing of one machine."""

from __future__ import annotations

import sys
import tarfile
import tomllib
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(Path(__file__).parent))

import wheel_smoke  # noqa: E402

pytest.importorskip("hatchling")
pytestmark = [
    pytest.mark.skipif(not (ROOT / ".git").exists(), reason="builds from a checkout"),
    pytest.mark.xdist_group("packaging"),  # wheel and source distribution are built once
]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built twice with the same bytes, beside the sdist."""
    return wheel_smoke.build_twice(tmp_path_factory.mktemp("dist"))


def test_the_wheel_holds_what_a_user_needs_and_nothing_else(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
    folders = {name.split("/")[0] for name in names}
    assert folders == {"meanshape", f"meanshape-{wheel.name.split('-')[1]}.dist-info"}
    assert not [name for name in names if "cache" in name or name.endswith((".pyc", ".pt", ".pkl"))]
    for wanted in (
        "py.typed",
        "weights/dan/card.toml",
        "apps/web/static/index.html",
        "apps/web/standalone/index.html",
        "core/markups/ibug68.toml",
    ):
        assert f"meanshape/{wanted}" in names
    assert any(name.endswith("licenses/LICENSE-WEIGHTS") for name in names)


def test_the_sdist_holds_tests_and_documentation(wheel: Path) -> None:
    (path,) = wheel.parent.glob("*.tar.gz")
    with tarfile.open(path) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    assert {"pyproject.toml", "SECURITY.md", "Makefile", "tests/conftest.py", "docs/index.md"} <= names


def test_no_upper_bounds_and_no_pins() -> None:
    """An upper bound keeps a user from a fix; only the tests pin one package."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    every = [
        *project["dependencies"],
        *(p for many in project["optional-dependencies"].values() for p in many),
    ]
    assert all(">=" in one and not set("<~!,") & set(one) and "==" not in one for one in every)
