"""Configs, mark-ups and cards in TOML, with anything in any place: an error of the tree, or an object."""

import json
import math
import tomllib
from dataclasses import dataclass, field

import pytest
from hostile import NASTY, bounded, changed, cuts, flips, read_all, replaced
from hypothesis import given
from hypothesis import strategies as st

from meanshape.core import config, registry, weights
from meanshape.core import markup as markups
from meanshape.core.errors import ConfigError, MarkUpError, MeanshapeError, WeightsError
from meanshape.evaluation.benchmark import Grid


@dataclass(frozen=True)
class Inner:
    rate: float = 0.01
    steps: int | None = None


@dataclass(frozen=True)
class Settings:
    name: str = "a"
    sizes: tuple[int, ...] = (1, 2)
    inner: Inner = field(default_factory=Inner)


MARKUP = markups.to_toml(markups.markup("mtfl5"))
CARD = """name = "mine"
method = "mean_shape"
markup = "mtfl5"
licence = "free"
commercial_use = false
[files]
"mean.npz" = "00"
[metrics]
nme = 3.5
"""
GRID = 'models = ["dan"]\ndata = ["folder:x"]\nboxes = ["truth"]\nthreads = [1]\nlimit = 3\n'


def toml_of(tree):
    """Write a tree as TOML by hand: what `dump` refuses must be tried, too."""
    return "".join(f"{json.dumps(str(key))} = {inline(value)}\n" for key, value in tree.items())


def inline(value):
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=True).replace("\\ud800", "\\u0001")
    if isinstance(value, dict):
        return "{" + ", ".join(f"{json.dumps(str(k))} = {inline(v)}" for k, v in value.items()) + "}"
    if isinstance(value, list):
        return f"[{', '.join(map(inline, value))}]"
    return '"none"' if value is None else str(value)


READERS = {
    "config": (lambda text: config.from_toml(Settings, text), config.to_toml(Settings())),
    "markup": (lambda text: markups.from_toml("own", text), MARKUP),
}


@pytest.fixture
def files(tmp_path):
    """Readers of files, beside the readers of texts."""

    def from_file(name, read):
        path = tmp_path / name

        def reader(text):
            path.write_text(text, "utf-8", errors="surrogatepass")
            return read(path)

        return reader

    return {
        **READERS,
        "card": (from_file("card.toml", lambda path: weights.read_card(path.parent)), CARD),
        "card-checked": (from_file("card.toml", lambda path: weights.verify(path.parent)), CARD),
        "own-markup": (from_file("own.toml", markups.load_markup), MARKUP),
        "benchmark": (from_file("grid.toml", Grid.read), GRID),
        "config-file": (from_file("c.toml", lambda path: config.load(Settings, path)), READERS["config"][1]),
    }


KINDS = ("config", "markup", "card", "card-checked", "own-markup", "benchmark", "config-file")


@pytest.fixture(autouse=True)
def nothing_learnt(monkeypatch):
    """Mark-ups that were read by chance are forgotten."""
    monkeypatch.setattr(markups, "_OWN", {})


@pytest.mark.parametrize("kind", KINDS)
def test_cut_off_at_every_byte_or_changed(kind, files):
    read, text = files[kind]
    data = [*cuts(text.encode()), *flips(text.encode(), 150)]
    read_all(read, (piece.decode("utf-8", "surrogateescape") for piece in data if piece.isascii()))


@pytest.mark.parametrize("kind", KINDS)
def test_another_value_in_every_place(kind, files):
    read, text = files[kind]
    tree = tomllib.loads(text)
    read_all(read, (toml_of(made) for made in replaced(tree) if isinstance(made, dict)))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    "text", ["a = " + "[" * 50_000, "a = " + "9" * 5000, "a = " + "{b=" * 9000, "\0", "a.a.a" * 999]
)
def test_toml_that_trips_its_parser(kind, text, files):
    with bounded(), pytest.raises(MeanshapeError):
        files[kind][0](text)


@pytest.mark.parametrize("kind", sorted(READERS))
@given(data=st.data())
def test_put_together_at_random(kind, data):
    read, text = READERS[kind]
    made = data.draw(changed(text.encode())).decode("utf-8", "ignore")
    read_all(read, [made])


@given(st.text(max_size=30), st.text(max_size=60))
def test_settings_from_the_command_line(key, value):
    for name in (key, "rate", "sizes", "inner.steps", "name.x", "inner"):
        read_all(lambda pair: config.override(Settings(), dict([pair])), [(name, value), (name, key)])


@pytest.mark.parametrize(
    "value", ["[" * 50_000, "9" * 5000, "(" * 9000 + ")" * 9000, "'" * 99, "nan", "1e999"]
)
def test_long_settings_from_the_command_line(value):
    for name in ("sizes", "inner.rate", "inner.steps", "name"):
        read_all(lambda pair: config.override(Settings(), dict([pair])), [(name, value)])


@pytest.mark.parametrize("name", registry.names("methods"))
def test_the_config_of_every_method(name):
    """Whatever a weights folder's config.toml says, the model is made or refused."""
    kind = registry.method(name)
    tree = tomllib.loads(config.to_toml(kind.Config()))
    some = [value for value in NASTY if not isinstance(value, str) or len(value) < 9]

    def read(text):
        return kind(config.from_toml(kind.Config, text))

    read_all(read, (toml_of(made) for made in replaced(tree, some) if isinstance(made, dict)))


@pytest.mark.parametrize(
    "name", ["/dev/zero", "../outside", "a/../../outside", "/etc/passwd", "", ".", "a\0b"]
)
def test_a_card_names_files_of_its_own_folder_only(name, tmp_path):
    folder = tmp_path / "model"
    folder.mkdir()
    (tmp_path / "outside").write_bytes(b"")
    empty = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    text = f'name = "a"\nmethod = "b"\n[files]\n{json.dumps(name)} = "{empty}"\n'
    (folder / "card.toml").write_text(text, "utf-8")
    with bounded(), pytest.raises(WeightsError):
        weights.verify(folder)


def test_errors_are_of_their_kind():
    with pytest.raises(ConfigError):
        config.from_toml(Settings, "sizes = 9" + "9" * 5000)
    with pytest.raises(MarkUpError):
        markups.from_toml("own", "points = [1, 2]\nmirror = [[1]]")
