import subprocess
import sys
from importlib.metadata import EntryPoint

import pytest

from meanshape.core import registry, resources
from meanshape.core.errors import ConfigError, UnknownName


def test_what_is_ours_is_listed():
    assert "mean_shape" in registry.names("methods")
    assert {"given", "whole_image"} <= set(registry.names("detectors"))
    assert "ibug68" in registry.names("markups")
    for kind in ("methods", "detectors", "datasets"):
        names = registry.names(kind)
        assert list(names) == sorted(names)
        assert not {"base", "nets", "parts", "__init__", "__pycache__"} & set(names)


def test_asking_for_one_gives_it():
    assert registry.method("mean_shape").name == "mean_shape"
    assert registry.detector("whole_image").name == "whole_image"
    assert len(registry.markup("mtfl5")) == 5


@pytest.mark.parametrize(
    ("ask", "wrong", "said"),
    [
        (registry.method, "mean-shape", "no method is called 'mean-shape'; did you mean 'mean_shape'?"),
        (registry.detector, "whole", "did you mean 'whole_image'?"),
        (registry.dataset, "zzz", "no data set"),
        (registry.markup, "mtfl", "did you mean 'mtfl5'?"),
        (registry.method, "base", "no method"),
        (registry.method, "../core/config", "no method"),
        (registry.names, "methodes", "did you mean 'methods'?"),
    ],
)
def test_a_wrong_name_offers_the_nearest(ask, wrong, said):
    with pytest.raises(UnknownName) as caught:
        ask(wrong)
    assert said in str(caught.value)


def test_the_registry_is_the_folder(tmp_path, monkeypatch):
    folder = tmp_path / "methods"
    (folder / "aam").mkdir(parents=True)
    (folder / "shared").mkdir()
    for name in ("asm.py", "base.py", "_private.py", "__init__.py", "aam/__init__.py", "shared/__init__.py"):
        (folder / name).write_text("raise RuntimeError('imported')")
    (folder / "aam" / "card.toml").write_text("title = 'AAM'")
    (folder / "asm.toml").write_text("title = 'ASM'")
    monkeypatch.setattr(resources, "CODE", tmp_path)
    monkeypatch.setattr(resources, "ROOT", tmp_path)
    assert registry.names("methods") == ("aam", "asm")
    assert registry.card("methods", "asm") == {"title": "ASM"}
    assert registry.card("methods", "aam") == {"title": "AAM"}
    (folder / "asm.toml").write_text("title = ")
    with pytest.raises(ConfigError, match=r"asm\.toml"):
        registry.card("methods", "asm")


def test_other_packages_join_through_entry_points(tmp_path, monkeypatch):
    (tmp_path / "otherpackage.py").write_text(
        "class Mine:\n    name = 'mine'\n    card = {'title': 'Mine'}\nMODEL = Mine\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    found = (
        EntryPoint("mine", "otherpackage", "meanshape.methods"),
        EntryPoint("mine_too", "otherpackage:Mine", "meanshape.methods"),
        EntryPoint("mean_shape", "otherpackage", "meanshape.methods"),
    )
    monkeypatch.setattr(registry, "entry_points", lambda group: found if group == "meanshape.methods" else ())
    registry._entry_points.cache_clear()
    try:
        assert {"mine", "mine_too"} <= set(registry.names("methods"))
        assert registry.method("mine").name == registry.method("mine_too").name == "mine"
        assert registry.method("mean_shape").__module__ == "meanshape.methods.mean_shape"
        assert registry.card("methods", "mine_too") == {"title": "Mine"}
    finally:
        registry._entry_points.cache_clear()


def test_listing_imports_nothing():
    code = (
        "import sys; from meanshape.core import registry\n"
        "for kind in ('methods', 'detectors', 'datasets', 'markups'):\n"
        "    for name in registry.names(kind): registry.card(kind, name)\n"
        "folders = 'meanshape.methods', 'meanshape.detectors', 'meanshape.datasets'\n"
        "found = [name for name in sys.modules if name.startswith(folders)]\n"
        "assert not found, found"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
