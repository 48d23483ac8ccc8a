"""The docs are run: `python` blocks, and commands that need no data, in a folder with two photos.

Blocks of one page share their names, from top to bottom. A comment `<!-- not run: why -->` above a block
leaves it out. The method of CONTRIBUTING.md is registered and looked at like any other.
"""

from __future__ import annotations

import importlib.util
import json
import re
import shlex
import shutil
import sys
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

import meanshape as ms
from meanshape.apps.cli import main
from meanshape.apps.cli._frame import commands
from meanshape.core import registry, weights
from meanshape.inference import choice

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
PAGES = [page for page in PAGES if "_build" not in page.parts]
FENCE = re.compile(r"^```(\w*)\n(.*?)^```", re.MULTILINE | re.DOTALL)
PLACEHOLDER = re.compile(r"\b[A-Z]{4,}\b|…|\bruns/mine\b")
"""A command with one of these wants something that only its reader has."""
COMMANDS = {*commands()}
HEADINGS = 3
LONGEST = 900
"""Words of a method's page, counted as `prose` counts them."""


@dataclass(frozen=True)
class Block:
    """A fenced block: its language, its text, the line it begins in, and the comment above it."""

    kind: str
    text: str
    line: int
    comment: str


def blocks(page: Path) -> Iterator[Block]:
    text = page.read_text("utf-8")
    for match in FENCE.finditer(text):
        above = text[: match.start()].rstrip().rpartition("\n")[2]
        comment = above.removeprefix("<!--").removesuffix("-->").strip() if above.startswith("<!--") else ""
        yield Block(match[1], match[2], text[: match.start()].count("\n") + 2, comment)


def prose(text: str) -> int:
    """Count the words (whatever whitespace separates) outside code blocks, comments and table rows."""
    text = re.sub(r"<!--.*?-->", "", FENCE.sub("", text), flags=re.DOTALL)
    return sum(len(line.split()) for line in text.splitlines() if not line.lstrip().startswith("|"))


def anchors(page: Path) -> set[str]:
    """Return the anchors that Sphinx and GitHub give a page's headings."""
    found = re.findall(r"^#{1,3} (.+)$", FENCE.sub("", page.read_text("utf-8")), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.strip().lower()).replace(" ", "-") for heading in found}


def shown(page: Path) -> str:
    return page.relative_to(ROOT).as_posix()


@pytest.fixture
def desk(inside):
    """A folder to work in: a photo of one person under the names that the docs use."""
    if not {"dan", "mtcnn"} <= set(weights.names()):
        pytest.skip("the package has no weights of dan and mtcnn")
    photo = ROOT / "examples" / "astronaut.jpg"
    for name in ("photo.jpg", "photos/one.jpg", "photos/two.jpg", "examples/astronaut.jpg"):
        (inside / name).parent.mkdir(exist_ok=True)
        shutil.copy(photo, inside / name)
    return inside


def run_blocks(page: Path) -> None:
    """Run a page's blocks in order."""
    names: dict[str, object] = {"__name__": "__docs__"}
    for block in blocks(page):
        if block.comment.startswith("not run"):
            continue
        if block.kind == "python":
            code = compile("\n" * (block.line - 1) + block.text, str(page), "exec")
            exec(code, names)
        elif block.kind == "sh":
            run_commands(page, block)


def run_commands(page: Path, block: Block) -> None:
    """Run the lines of a block that call the command line and name nothing of the reader's own."""
    for line in block.text.splitlines():
        words = shlex.split(line, comments=True)
        if words[:1] != ["meanshape"] or PLACEHOLDER.search(line.partition("#")[0]):
            continue
        assert words[1] in COMMANDS, f"{shown(page)}, line {block.line}: what is {line!r}?"
        assert main(words[1:]) in (0, None), f"{shown(page)}, line {block.line}: {line!r} failed"


@pytest.mark.parametrize(
    "page", [p for p in PAGES if any(b.kind in ("python", "sh") for b in blocks(p))], ids=shown
)
def test_blocks_run(page, desk, capsys):
    run_blocks(page)


def test_what_is_left_out_says_why():
    for page in PAGES:
        for block in blocks(page):
            if block.comment.startswith("not run"):
                assert len(block.comment.partition(":")[2].split()) >= 3, f"{shown(page)}, line {block.line}"


@pytest.mark.parametrize("page", [*PAGES, ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md"], ids=shown)
def test_links_lead_somewhere(page):
    text = FENCE.sub("", page.read_text("utf-8"))
    for target in re.findall(r"\]\(([^)#\s]+)[^)]*\)", text):
        if not target.startswith(("http", "mailto")):
            assert (page.parent / target).exists(), f"{shown(page)}: {target}"


@pytest.mark.parametrize("page", [*PAGES, ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md"], ids=shown)
def test_anchors_are_headings(page):
    text = FENCE.sub("", page.read_text("utf-8"))
    for target, anchor in re.findall(r"\]\(([^)#\s]*)#([^)\s]+)\)", text):
        if not target.startswith("http") and (not target or target.endswith(".md")):
            assert anchor in anchors(page.parent / target if target else page), (
                f"{shown(page)}: {target}#{anchor}"
            )


@pytest.mark.parametrize("page", sorted((ROOT / "docs" / "methods").glob("*.md")), ids=shown)
def test_a_method_page_is_short(page):
    """Tables and code do not count; histories and ablations belong in docs/studies/."""
    assert (count := prose(page.read_text("utf-8"))) <= LONGEST, f"{shown(page)} has {count} words of prose"


def test_words_are_counted_outside_tables_and_code():
    text = "# One two\n\n| a | b |\n|---|---|\n\nThree *four*.\n\n```sh\nfive six\n```\n<!-- seven -->\n"
    assert prose(text) == len(("#", "One", "two", "Three", "*four*."))


@pytest.mark.parametrize("name", registry.names("methods"))
def test_every_method_has_a_page(name):
    text = FENCE.sub("", (ROOT / "docs" / "methods" / f"{name}.md").read_text("utf-8"))
    assert len(re.findall(r"^# ", text, re.MULTILINE)) == 1
    assert len(re.findall(r"^## ", text, re.MULTILINE)) >= HEADINGS
    assert "{" not in re.sub(r"\$.*?\$|\{[a-z,]+\}", "", text, flags=re.DOTALL), "a placeholder is left"


def test_the_page_of_the_command_line_is_what_the_program_says():
    spec = importlib.util.spec_from_file_location("cli_reference", ROOT / "docs" / "cli_reference.py")
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    text = script.PAGE.read_text("utf-8")
    assert text == script.page(), "run python docs/cli_reference.py"
    assert set(re.findall(r"^## meanshape (\w+)$", text, re.MULTILINE)) == COMMANDS
    assert "| `-o, --output TEXT` | FILE.jsonl or" in text and "--install-completion" in text


# CONTRIBUTING: a method in one file


@pytest.fixture
def box_ridge(tmp_path, monkeypatch):
    """The method of CONTRIBUTING.md, registered as if its files lay in the folder."""
    found = {block.comment: block.text for block in blocks(ROOT / "CONTRIBUTING.md") if block.comment}
    path = tmp_path / "box_ridge.py"
    path.write_text(found["a method"], "utf-8")
    spec = importlib.util.spec_from_file_location("meanshape.methods.box_ridge", path)
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, spec.name, module)
    spec.loader.exec_module(module)
    files = registry._files
    monkeypatch.setattr(
        registry, "_files", lambda kind: files(kind) | ({"box_ridge"} if kind == "methods" else set())
    )
    return registry.method("box_ridge"), tomllib.loads(found["a card"])


def test_a_method_in_one_file(box_ridge, tmp_path, monkeypatch):
    """It is listed, learns, and passes the checks that every method passes."""
    monkeypatch.syspath_prepend(str(ROOT / "tests" / "conformance"))
    import checks

    from meanshape.datasets.synthetic import face

    kind, card = box_ridge
    assert "box_ridge" in registry.names("methods")
    train, others = [face(n, 64) for n in range(40)], [face(n, 64) for n in range(40, 50)]
    checks.method_card(card)
    checks.config_round_trips(kind)
    checks.refuses_unfitted(kind, tmp_path / "none")
    model = kind.tiny().fit(train, seed=1)
    checks.beats_the_mean(model, train, others)
    checks.same_seed_same_result(kind.tiny, train, others, model, tmp_path / "same")
    checks.survives_saving(model, model.save(tmp_path / "model"), others, deep=False)
    checks.agrees_at_any_batch(model, model, others)
    checks.takes_any_picture(model, others[0])
    checks.takes_any_box(model, others[0])
    checks.leaves_its_input_alone(model, others[0])
    checks.follows_shift(model, others[0])
    checks.follows_scale(model, others)


@pytest.mark.skipif(choice.MODEL not in weights.names(), reason="the default model is not here")
@pytest.mark.parametrize("page", ["README.md", "README.zh.md"])
def test_the_example_of_what_comes_out_came_out(page):
    said = re.search(r"```json\n(.*?)```", (ROOT / page).read_text("utf-8"), re.S)[1]
    said = json.loads(said)["faces"][0]
    face = ms.detect(ROOT / "examples" / "astronaut.jpg").faces[0]
    assert face.box.as_list() == pytest.approx(said["box"], abs=0.5)
    assert face.shape.markup.name == said["shape"]["markup"]
    assert face.shape.points[0].tolist() == pytest.approx(said["shape"]["points"][0], abs=0.5)
    assert face.shape.confidence[0] == pytest.approx(said["shape"]["confidence"][0], abs=0.02)
