"""Teach every shipped model how sure it may be of its points, and draw how far that can be trusted.

    python benchmarks/calibrate_all.py --ibug300w ROOT --mtfl ROOT
        [--negatives FOLDER --terms TEXT] [--twin dan=FOLDER] [--only NAME] [--domain-only] [--save]

Models of 68 points learn it on 300-W validation, those of five on MTFL validation, those that were trained on
rendered faces alone on other rendered faces, so that they stay free for any use. A confidence must come
from faces that the model has not seen. Where the card says that it was trained on `trainval`, its twin takes
its place: the same command on `train`, which is run here (a minute each), or the folder that `--twin` names.
What is no face they learn from the photos without people of `--negatives`; free models, and all without that
folder, from rendered scenes. With `--domain-only` the confidence of plain faces stays, and no twin is needed.

Without `--save` nothing of the package changes: results are only printed. With it, `confidence.npz` and
the card of each model are written, and docs/images/reliability.svg.
"""

from __future__ import annotations

import argparse
import shlex
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from meanshape.core import weights
from meanshape.evaluation import plots

PICTURE = Path(__file__).parent.parent / "docs" / "images" / "reliability.svg"
LIMIT = 500
"""Faces of MTFL that are looked at, of 1,000."""


def main() -> None:
    options = _options()
    twins = dict(text.partition("=")[::2] for text in options.twin)
    with tempfile.TemporaryDirectory() as work:
        for name in options.only or weights.names():
            card = weights.read_card(weights.folder(name))
            copy = Path(work) / name / name
            shutil.copytree(weights.folder(name), copy)
            asked = ["calibrate", str(copy), "--data", _data(card, options), "--limit", str(LIMIT)]
            if options.negatives and not card.name.endswith("_synthetic"):
                asked += ["--negatives", str(options.negatives), "--terms", options.terms]
            if options.domain_only:
                asked.append("--domain-only")
            elif _seen(card):
                asked += ["--twin", twins.get(name) or _train(card, options, Path(work))]
            _meanshape(*asked)
            if options.save:
                for file in ("confidence.npz", weights.CARD):
                    shutil.copy(copy / file, weights.folder(name) / file)
    if options.save:
        cards = {name: weights.read_card(weights.folder(name)).more for name in weights.names()}
        known = {name: more["confidence"] for name, more in cards.items() if "confidence" in more}
        PICTURE.write_text(plots.reliability(known) + "\n", "utf-8")


def _data(card: weights.Card, options: argparse.Namespace) -> str:
    """Return faces of the kind that the model learnt from, but others."""
    return "synthetic:500@128:validation" if card.name.endswith("_synthetic") else _photos(card, options)


def _photos(card: weights.Card, options: argparse.Namespace) -> str:
    """Return faces that the model is for, and that it has not learnt from."""
    if card.markup != "mtfl5":
        return f"ibug300w:{options.ibug300w}:validation"
    return f"mtfl:{options.mtfl}:validation"


def _seen(card: weights.Card) -> bool:
    return ":trainval" in str(card.more.get("command", ""))


def _train(card: weights.Card, options: argparse.Namespace, work: Path) -> str:
    """Train the model's twin by its own command, without the validation faces; return its folder."""
    if "--init" in str(card.more["command"]):
        sys.exit(f"{card.name} takes too long to be trained here: --twin {card.name}=FOLDER")
    words = shlex.split(str(card.more["command"]).replace("ibug300w:ROOT:trainval", "ibug300w:ROOT:train"))
    words = [word.replace("ibug300w:ROOT", f"ibug300w:{options.ibug300w}") for word in words]
    words[words.index("--out") + 1] = str(work / f"{card.name}_twin")
    _meanshape(*words[1:])
    return words[words.index("--out") + 1]


def _meanshape(*words: str) -> None:
    subprocess.run([sys.executable, "-m", "meanshape", *words], check=True)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--ibug300w", required=True, metavar="ROOT")
    parser.add_argument("--mtfl", required=True, metavar="ROOT")
    parser.add_argument("--negatives", type=Path, metavar="FOLDER")
    parser.add_argument("--terms", metavar="TEXT", help="of the photos in --negatives")
    parser.add_argument("--twin", action="append", default=[], metavar="NAME=FOLDER")
    parser.add_argument("--only", action="append", metavar="NAME")
    parser.add_argument("--domain-only", action="store_true")
    parser.add_argument("--save", action="store_true")
    options = parser.parse_args()
    if (options.negatives is None) != (options.terms is None):
        parser.error("--negatives and --terms belong together")
    return options


if __name__ == "__main__":
    main()
