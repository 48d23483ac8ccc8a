"""JSON Lines of the one prediction schema: one object a line, one line a photo. Holds everything."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from meanshape.core.errors import FormatError
from meanshape.core.prediction import Prediction
from meanshape.formats.text import dump_json, parse_json, read_text, write_text


def read(path: str | Path, markup: str | None = None) -> list[Prediction]:
    """Read the predictions of a file; `markup` is not needed, for every shape names its own."""
    return [
        parse(line, path, number)
        for number, line in enumerate(read_text(Path(path)).split("\n"), 1)
        if line.strip()
    ]


def parse(line: str, source: str | Path = "<text>", number: int | None = None) -> Prediction:
    """Read one line; `source` and `number` are named in errors."""
    data = parse_json(line, source, number)
    try:
        return Prediction.from_dict(data)
    except FormatError as error:
        raise FormatError(str(error), path=source, line=number) from error


def render(prediction: Prediction, ascii_only: bool = False) -> str:
    """Render one prediction as a line, without the line break; `ascii_only` for what takes no UTF-8."""
    return dump_json(prediction.to_dict(), ascii_only=ascii_only)


def write(path: str | Path, predictions: Iterable[Prediction]) -> None:
    """Write one line for each photo."""
    write_text(Path(path), "".join(f"{render(prediction)}\n" for prediction in predictions))
