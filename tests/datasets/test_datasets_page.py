"""docs/datasets.md says what the cards and mark-ups say; run this file to print its tables."""

from pathlib import Path

import pytest

from meanshape.core import registry

PAGE = Path(__file__).parents[2] / "docs" / "datasets.md"
TAKEN = {"controlled": "laboratory", "wild": "wild", "own": "-"}


def table() -> str:
    """Return the table of data sets."""
    rows = ["| data set | what | mark-up | taken | counts | terms |", "|---|---|---|---|---|---|"]
    for name in registry.names("datasets"):
        card = registry.card("datasets", name)
        kinds = [card["markup"]] if card.get("markup") else card.get("markups", [])
        splits = {split: n for split, n in card["splits"].items() if n and split != "trainval"}
        counts = ", ".join(f"{split} {n:,}" for split, n in splits.items())
        unit = f" {card['unit']}" if "unit" in card else ""
        cells = [f"`{name}`", card["title"], ", ".join(f"`{kind}`" for kind in kinds) or "none"]
        cells += [TAKEN[card["family"]], (counts or "-") + unit, card["licence"]]
        rows.append(f"| {' | '.join(cells)} |")
    return "\n".join(rows) + "\n"


def markups() -> str:
    """Return the table of mark-ups."""
    rows = ["| mark-up | points | what | sides | converts to |", "|---|---|---|---|---|"]
    for name in registry.names("markups"):
        kind = registry.markup(name)
        to = ", ".join(f"`{other}`" for other in kind.conversions) or "-"
        rows.append(f"| `{name}` | {len(kind)} | {kind.title} | {'yes' if kind.sides else 'no'} | {to} |")
    return "\n".join(rows) + "\n"


@pytest.mark.parametrize("made", [table, markups])
def test_the_page_has_the_table(made):
    text = PAGE.read_text("utf-8")
    missing = [row for row in made().splitlines() if row not in text]
    assert not missing, f"docs/datasets.md lacks or differs in {missing}"


if __name__ == "__main__":
    print(table())
    print(markups())
