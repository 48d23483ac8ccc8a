"""Write figures.json anew, after a change that is meant to move them: `python tests/net/make_figures.py`.

Say in the commit which figures moved, by how much, and why. `--check` writes nothing and shows the
differences.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

import figures

FILE = Path(__file__).with_name("figures.json")


def main() -> None:
    """Measure everything, show what moved, write the file."""
    found = figures.everything()
    stored = json.loads(FILE.read_text("utf-8")) if FILE.exists() else {}
    for name, values in found.items():
        for line in figures.differences(name, values, stored.get(name, {})):
            print(f"{name}: {line}")
    if "--check" not in sys.argv:
        lines = ",\n".join(f"{json.dumps(name)}: {json.dumps(values)}" for name, values in found.items())
        FILE.write_text(f"{{\n{lines}\n}}\n", "utf-8")


if __name__ == "__main__":
    main()
