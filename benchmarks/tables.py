"""Fill the tables of README, pages and cards from the result files, so that no figure is typed twice.

    python benchmarks/tables.py            # write
    python benchmarks/tables.py --check    # show what differs; exit code 1 if anything does

Between `<!-- figures: NAME -->` and `<!-- figures: end -->` a page holds `benchmarks/tables/NAME.md`:
Markdown with Jinja placeholders for what `benchmarks/results` and the cards of the shipped weights say. A
second word (`<!-- figures: of_68 dan -->`) is the template's `name`. To add a row, measure it into a result
file and add its line to the template. Tables of what ships read the folder of the weights: the `[metrics]`
of a card are those of validation.json, and what the file does not name is told as its card has it.
"""

from __future__ import annotations

import csv
import difflib
import hashlib
import json
import re
import sys
from collections.abc import Iterator, Sequence
from dataclasses import replace
from decimal import ROUND_HALF_UP, Decimal
from pathlib import Path
from typing import Any

import jinja2

from meanshape.core import registry, weights
from meanshape.core.config import dump
from meanshape.inference.lineage import shipped as in_order

ROOT = Path(__file__).parent.parent
RESULTS = ROOT / "benchmarks" / "results"
BLOCK = re.compile(r"<!-- figures: (?!end )([\w.]+)( \w+)? -->\n.*?<!-- figures: end -->", re.DOTALL)


def number(value: float | None, digits: int = 2) -> str:
    """Return a number with so many digits, halves rounded up; nothing for None."""
    if value is None:
        return ""
    return str(Decimal(repr(float(value))).quantize(Decimal(1).scaleb(-digits), ROUND_HALF_UP))


def signed(value: float, digits: int = 3) -> str:
    """Return a difference with its sign."""
    return ("−" if value < 0 else "+") + number(abs(value), digits)


def interval(values: Sequence[float] | None, digits: int = 2) -> str:
    """Return a 95 % interval in brackets; nothing for None."""
    return f" ({number(values[0], digits)}–{number(values[1], digits)})" if values else ""


def digest(name: str) -> str:
    """Return a digest of the files of shipped weights that decide about points."""
    files = weights.read_card(weights.folder(name)).files
    kept = sorted(item for item in files.items() if item[0] != "confidence.npz")
    return hashlib.sha256(json.dumps(kept).encode()).hexdigest()[:10]


def as_told(found: weights.Card) -> dict[str, Any]:
    """Return what a card says of shipped weights that validation.json does not name."""
    metrics = dict(found.more.get("metrics", {}))
    told = metrics.pop("measured_on", "")
    return {"by": "as its card says", "measured_on": told, "metrics": metrics, "also": {}}


def environment() -> jinja2.Environment:
    """Return the templates with all that they may name."""
    templates = jinja2.Environment(
        loader=jinja2.FileSystemLoader(ROOT / "benchmarks" / "tables"), undefined=jinja2.StrictUndefined,
        trim_blocks=True, lstrip_blocks=True,
    )  # fmt: skip
    results: dict[str, Any] = {
        path.stem: json.loads(path.read_text("utf-8")) for path in RESULTS.glob("*.json")
    }
    for path in RESULTS.glob("*.csv"):
        with path.open(encoding="utf-8", newline="") as file:
            results[path.stem] = list(csv.DictReader(file))
    shipped = [*weights.names(), *weights.detector_names()]
    cards = {name: weights.read_card(weights.folder(name)) for name in shipped}
    for name, found in cards.items():
        results["validation"].setdefault(name, as_told(found))
    official = results["official"]["about"]["weights"]
    templates.filters |= {"number": number, "signed": signed, "interval": interval}
    templates.globals |= results | {
        "cards": cards,
        "methods": [(name, registry.card("methods", cards[name].method)) for name in in_order()],
        "points": lambda name: len(registry.markup(cards[name].markup)),
        "megabytes": lambda name: number(cards[name].bytes(weights.folder(name)) / 1e6, 1),
        "earlier": lambda name: "" if official[name] == digest(name) else " †",
    }
    return templates


def filled(text: str, templates: jinja2.Environment) -> str:
    """Return a page with its blocks as they must be."""

    def block(match: re.Match[str]) -> str:
        table = templates.get_template(f"{match[1]}.md").render(name=(match[2] or "").strip())
        begin = match[0].partition("\n")[0]
        return f"{begin}\n{table.strip()}\n<!-- figures: end -->"

    return BLOCK.sub(block, text)


def card(name: str, told: dict[str, Any]) -> str:
    """Return the text of a shipped card with the metrics of validation.json."""
    found = weights.read_card(weights.folder(name))
    metrics = {"measured_on": told["measured_on"], **told["metrics"], **told["also"]}
    more = {key: metrics if key == "metrics" else value for key, value in found.more.items()}
    return dump(replace(found, more=more).to_dict())


def changes() -> Iterator[tuple[Path, str, str]]:
    """Yield each file whose figures are not those of the result files: path, text, wanted text."""
    templates = environment()
    wanted = {
        path: filled(path.read_text("utf-8"), templates)
        for path in sorted([*ROOT.glob("README*.md"), *ROOT.glob("docs/**/*.md")])
    }
    validation: dict[str, Any] = templates.globals["validation"]
    wanted |= {weights.folder(name) / weights.CARD: card(name, told) for name, told in validation.items()}
    for path, text in wanted.items():
        if (before := path.read_text("utf-8")) != text:
            yield path, before, text


def main() -> None:
    """Write, or compare with --check."""
    found = list(changes())
    for path, text, wanted in found:
        name = str(path.relative_to(ROOT))
        lines = difflib.unified_diff(text.splitlines(), wanted.splitlines(), name, name, lineterm="", n=0)
        print("\n".join(lines))
        if "--check" not in sys.argv:
            path.write_text(wanted, "utf-8")
    sys.exit(1 if found and "--check" in sys.argv else 0)


if __name__ == "__main__":
    main()
