"""The rules of the house that no other tool holds: length, docstrings, waivers, no trace of one machine."""

from __future__ import annotations

import ast
import inspect
import re
import subprocess
import textwrap
from collections import Counter
from pathlib import Path

import pytest

import meanshape as ms
from meanshape.core import registry

ROOT = Path(__file__).parent.parent
SRC = ROOT / "src" / "meanshape"
LINES, FUNCTION = 400, 60
WAIVERS = 15
"""How many `type: ignore` there may be in the package; each names what it waives."""
PLACES = re.compile(r"(?<![\w.~$}])/(?:home|root|Users|mnt|opt|srv|work|workspace|private)/\w")
"""Paths of somebody's machine."""
TEXT = {".py", ".md", ".toml", ".cff", ".txt", ".yml", ".json", ".csv", ""}


def tracked() -> list[Path]:
    """Return the files that git knows or would add; without git, those in known folders."""
    try:
        done = subprocess.run(
            ["git", "ls-files", "-co", "--exclude-standard"],
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=True,
        )
        names = [ROOT / line for line in done.stdout.splitlines()]
    except (OSError, subprocess.CalledProcessError):
        folders = ("src", "tests", "docs", "benchmarks", "studies", "examples")
        names = [*ROOT.glob("*"), *(path for folder in folders for path in (ROOT / folder).rglob("*"))]
    return [path for path in names if path.is_file() and "_build" not in path.parts]


FILES = tracked()
SOURCES = [path for path in FILES if path.suffix == ".py"]
PACKAGE = [path for path in SOURCES if path.is_relative_to(ROOT / "src")]


def shown(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def test_there_is_something_to_look_at():
    assert len(PACKAGE) > 50


@pytest.mark.parametrize("path", SOURCES, ids=shown)
def test_files_and_functions_are_short(path):
    text = path.read_text("utf-8")
    assert text.count("\n") <= LINES
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            length = (node.end_lineno or 0) - node.lineno + 1
            assert length <= FUNCTION, f"{node.name} has {length} lines"


def test_waivers_are_few_and_name_what_they_waive():
    found = [
        line for path in PACKAGE for line in path.read_text("utf-8").splitlines() if "type: ignore" in line
    ]
    assert all(re.search(r"# type: ignore\[[a-z-]+", line) for line in found)
    assert len(found) <= WAIVERS


def test_modules_say_what_they_are():
    for path in PACKAGE:
        assert ast.get_docstring(ast.parse(path.read_text("utf-8"))), shown(path)


@pytest.mark.parametrize("name", ms.__all__)
def test_public_names_have_docstrings_down_to_their_methods(name):
    value = getattr(ms, name)
    assert inspect.getdoc(value)
    if not inspect.isclass(value):
        return
    for part, member in vars(value).items():
        if not part.startswith("_") and (callable(member) or isinstance(member, (property, classmethod))):
            assert inspect.getdoc(getattr(value, part)), f"{name}.{part}"


def functions(name):
    """The public functions of a public name: itself, or the methods and properties of the class."""
    value = getattr(ms, name)
    if not inspect.isclass(value):
        return [(name, value)] if callable(value) else []
    parts = {part: member for part, member in vars(value).items() if not part.startswith("_")}
    plain = {
        part: member.fget if isinstance(member, property) else getattr(member, "__func__", member)
        for part, member in parts.items()
    }
    return [(f"{name}.{part}", member) for part, member in plain.items() if inspect.isfunction(member)]


SHAPE = re.compile(r"\((?:\.\.\.|[A-Z0-9][\w+* ]*),")
"""An array's shape in words: (K, 2), (N,), (..., 2)."""


@pytest.mark.parametrize("name", ms.__all__)
def test_public_docstrings_say_shapes_and_errors(name):
    """Who takes or gives an array says its shape; who raises one of our errors names it."""
    kinds = {key for key in ms.__all__ if isinstance(getattr(ms, key), type)}
    for called, function in functions(name):
        said = inspect.getdoc(function) or ""
        if re.search(r"NDArray|Pixels|Points|Array\b", " ".join(map(str, function.__annotations__.values()))):
            assert SHAPE.search(said), f"{called}: no shape is said"
        tree = ast.parse(textwrap.dedent(inspect.getsource(function)))
        raised = (node.exc for node in ast.walk(tree) if isinstance(node, ast.Raise) and node.exc)
        for error in raised:
            whole = ast.unparse(error.func if isinstance(error, ast.Call) else error).split(".")[0]
            assert whole not in kinds or whole in said, f"{called}: {whole} is not said"


@pytest.mark.parametrize("kind", ["methods", "detectors", "datasets"])
def test_plug_ins_have_cards(kind):
    for name in registry.names(kind):
        card = registry.card(kind, name)
        assert card.get("title"), f"{kind}/{name}"


def test_no_file_names_a_place_on_somebodys_machine():
    for path in FILES:
        if path.suffix in TEXT and path != Path(__file__):
            text = path.read_text("utf-8", errors="replace")
            assert not (found := PLACES.search(text)), (
                f"{shown(path)}: {text[found.start() : found.end() + 30]!r}"
            )


def test_the_package_prints_only_where_people_look():
    """Libraries do not print; the command line does, in one module that no word steers the terminal from."""
    for path in PACKAGE:
        if path == ROOT / "src" / "meanshape" / "apps" / "cli" / "_console.py":
            continue
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            named = isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "print"
            if named and shown(path) != "src/meanshape/inference/printing.py":
                assert any(keyword.arg == "file" for keyword in node.keywords), (
                    f"{shown(path)}: {node.lineno}"
                )


def test_toml_is_read_in_one_place():
    """The standard library's parser alone bounds neither time nor memory: `core/toml.py` does."""
    found = {
        shown(path) for path in tracked() if path.suffix == ".py" and "tomllib" in path.read_text("utf-8")
    }
    assert {name for name in found if name.startswith("src/")} == {"src/meanshape/core/toml.py"}


def test_version_is_said_once_and_the_same_everywhere():
    import tomllib

    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    assert project["version"] == ms.__version__
    assert f"version: {ms.__version__}" in (ROOT / "CITATION.cff").read_text("utf-8")
    assert f"## {ms.__version__}" in (ROOT / "CHANGELOG.md").read_text("utf-8")


def test_no_two_files_of_tests_have_one_name():
    """The folders are no packages: pytest would take one for the other, but only where both are asked for."""
    names = Counter(path.name for path in (ROOT / "tests").rglob("test_*.py"))
    assert [name for name, count in names.items() if count > 1] == []


WARPS = ("warpAffine", "warpPerspective", "remap")
BOUNDED = ("BORDER_CONSTANT", "BORDER_REPLICATE", "BORDER_TRANSPARENT", "BORDER_WRAP")
"""What OpenCV does beyond a picture in a time that does not grow with the distance."""


def test_only_one_module_reflects_pictures_far_beyond_their_borders():
    """OpenCV's loop would never end; `core.reflection` folds the places before it calls it."""
    for path in PACKAGE:
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)):
                continue
            if node.func.attr in WARPS and not shown(path).endswith("core/reflection.py"):
                border = [ast.unparse(word.value) for word in node.keywords if word.arg == "borderMode"]
                assert border and border[0].removeprefix("cv2.") in BOUNDED, f"{shown(path)}:{node.lineno}"


def imported(path: Path, name: str, names: frozenset[str]) -> set[str]:
    """Return the modules of the package that a file imports outside functions, for types too."""
    tree = ast.parse(path.read_text("utf-8"))
    later = {
        id(part)
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        for part in ast.walk(node)
    }
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module and id(node) not in later:
            for one in node.names:
                inner = f"{node.module}.{one.name}"
                found.add(inner if inner in names else node.module)
    return (found & names) - {name}


def circle(edges: dict[str, set[str]]) -> set[str]:
    """Return the modules that lie on a circle of imports, or between two."""
    left = set(edges)
    while True:
        used = set().union(*(edges[name] for name in left))
        kept = {name for name in left & used if edges[name] & left}
        if kept == left:
            return left
        left = kept


def test_no_module_imports_in_a_circle():
    assert circle({"a": {"b"}, "b": {"c"}, "c": {"b", "d"}, "d": {"e"}, "e": set()}) == {"b", "c"}
    files = {
        ".".join(path.relative_to(SRC.parent).with_suffix("").parts).removesuffix(".__init__"): path
        for path in SRC.rglob("*.py")
    }
    names = frozenset(files)
    found = circle({name: imported(path, name, names) for name, path in files.items()})
    assert not found, f"modules that import each other: {sorted(found)}"
