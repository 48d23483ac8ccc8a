"""Plots of results as SVG: functions over results, which know nothing of how they were measured."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

import numpy as np

from meanshape.core.errors import MissingExtra

if TYPE_CHECKING:
    from meanshape.evaluation.robustness import Robustness

Result = Mapping[str, Any]
INK, LINE = "#5d6675", "#c9cfd9"
STYLE: Any = {
    "svg.fonttype": "none", "font.size": 9, "axes.edgecolor": LINE, "axes.labelcolor": INK,
    "xtick.color": INK, "ytick.color": INK, "text.color": INK,
    "axes.spines.top": False, "axes.spines.right": False, "svg.hashsalt": "meanshape",
}  # fmt: skip
MOST = 10.0
"""Percent where the curves end."""


def curves(results: Sequence[Result]) -> str:
    """Return cumulative errors: the share of faces whose error is at most x."""
    figure, axes = _figure(6.2, 3.6)
    x = np.linspace(0, MOST, 201)
    for result in results:
        errors = np.array([error for error in result["errors"].values() if error is not None])
        if len(errors):
            axes.plot(
                x,
                [100 * float((errors <= limit).mean()) for limit in x],
                label=shown(result["model"]),
                lw=1.6,
            )
    axes.set(xlabel="error, %", ylabel="faces, %", xlim=(0, MOST), ylim=(0, 100))
    axes.legend(frameon=False, loc="lower right", fontsize=8)
    return _svg(figure)


def speed(results: Sequence[Result]) -> str:
    """Return error over milliseconds, the area of a mark as the megabytes of the weights."""
    figure, axes = _figure(6.2, 3.6)
    for number, result in enumerate(results):
        error, time = _error(result), result["ms_per_face"]
        if error is None or not time:
            continue
        size = 30 + 25 * (result["bytes"] or 0) / 1e6
        axes.scatter(time, error, s=size, color=f"C{number % 10}", alpha=0.75, lw=0)
        axes.annotate(
            shown(result["model"]), (time, error), xytext=(6, 4), textcoords="offset points", fontsize=8
        )
    axes.set(xlabel="milliseconds per face", ylabel="error, %", xscale="log")
    return _svg(figure)


def groups(results: Sequence[Result]) -> str:
    """Return the error of each group of points, a bar for each model."""
    names = list(results[0]["groups"])
    figure, axes = _figure(7.4, 3.4)
    width = 0.8 / max(len(results), 1)
    for number, result in enumerate(results):
        values = [result["groups"].get(name) or 0 for name in names]
        axes.bar(np.arange(len(names)) + number * width, values, width, label=shown(result["model"]))
    axes.set_xticks(
        np.arange(len(names)) + 0.4 - width / 2, [shown(name.replace("_", " ")) for name in names]
    )
    axes.tick_params(axis="x", rotation=35)
    axes.set(ylabel="error, %")
    axes.legend(frameon=False, fontsize=8)
    return _svg(figure)


def on_face(result: Result, mean: Sequence[Sequence[float]]) -> str:
    """Return the error of each point as a disc on the mean face."""
    values = [value if value is not None else np.nan for value in result["points"].values()]
    figure, axes = _figure(2.6, 2.9)
    x, y = np.array(mean).T
    marks = axes.scatter(
        x, y, c=values, s=[20 + 12 * (value or 0) for value in values], cmap="viridis_r", lw=0
    )
    figure.colorbar(marks, ax=axes, shrink=0.6, label="error, %")
    axes.set(aspect="equal", title=shown(result["model"]))
    axes.invert_yaxis()
    axes.axis("off")
    return _svg(figure)


def case(worst: Mapping[str, Any], edges: Sequence[Sequence[int]], photo: Any = None) -> str:
    """Return one face: true points green, predicted ones red; on its photo, if one is given."""
    figure, axes = _figure(2.1, 2.3)
    if photo is not None:
        axes.imshow(photo)
    for points, colour in ((worst["true"], "#1c7c45"), (worst["predicted"], "#d23b2f")):
        if points is None:
            continue
        array = np.array([[np.nan, np.nan] if x is None else [x, y] for x, y in points], float)
        for one, other in edges:
            axes.plot(*array[[one, other]].T, color=colour, lw=0.8, alpha=0.7)
        axes.scatter(*array.T, s=4, color=colour, lw=0)
    axes.set(aspect="equal", title=f"{worst['error']:.1f} %")
    if photo is None:
        axes.invert_yaxis()
    axes.axis("off")
    return _svg(figure)


def robustness(rows: Sequence[Robustness]) -> str:
    """Return error over strength, a small plot for each change: medians, and 90th percentiles dotted."""
    models = list(dict.fromkeys(row.model for row in rows))
    changes = [name for name in dict.fromkeys(row.perturbation for row in rows) if name != "none"]
    columns = min(4, max(1, len(changes)))
    lines = max(1, -(-len(changes) // columns))
    figure, axes = _figure(2.6 * columns, 2.3 * lines + 0.4, lines, columns)
    every = np.ravel(axes)
    for axis, change in zip(every, changes, strict=False):
        for number, model in enumerate(models):
            own = [row for row in rows if row.model == model and row.perturbation in ("none", change)]
            x = range(len(own))
            axis.plot(
                x, [row.median for row in own], "o-", ms=2.5, lw=1.3, color=f"C{number}", label=shown(model)
            )
            axis.plot(x, [row.p90 for row in own], ":", lw=1, color=f"C{number}")
        axis.set_xticks(range(len(own)), ["none", *(f"{row.level:g}" for row in own[1:])])
        axis.set(xlabel=own[-1].unit, yscale="log")
        ticks = (0.5, 1, 2, 5, 10, 20, 50, 100)
        axis.set_yticks(ticks, [f"{tick:g}" for tick in ticks])
        axis.set_yticks((), minor=True)
        axis.set_ylim(max(0.5, min(2.0, *(0.8 * row.median for row in rows))), 100)
        axis.set_title(change, fontsize=9)
    for axis in every[len(changes) :]:
        axis.axis("off")
    figure.supylabel(f"error, % of {rows[0].norm.replace('_', '-')}", fontsize=9)
    marks, names = every[0].get_legend_handles_labels()
    figure.legend(
        marks, names, loc="outside lower center", ncols=min(7, len(names)), frameon=False, fontsize=8
    )
    return _svg(figure)


def reliability(found: Mapping[str, Mapping[str, Any]]) -> str:
    """Return how often points of a confidence are right: one small plot for each model."""
    columns = min(4, len(found))
    rows = -(-len(found) // columns)
    figure, axes = _figure(2.2 * columns + 0.3, 2.2 * rows + 0.3, rows, columns)
    every = np.ravel(axes)
    for axis, (name, one) in zip(every, found.items(), strict=False):
        axis.plot((0, 100), (0, 100), color=LINE, lw=1)
        axis.plot(one["predicted"], one["observed"], "o-", ms=3.5, lw=1.3, color="#2f6fd2")
        axis.set(xlim=(0, 100), ylim=(0, 100), aspect="equal", xticks=(0, 50, 100), yticks=(0, 50, 100))
        axis.set_title(f"{shown(name)}, off by {one['ece']:.1f}", fontsize=9)
    for axis in every[len(found) :]:
        axis.axis("off")
    figure.supxlabel("confidence, %", fontsize=9)
    figure.supylabel("points within 5 %, %", fontsize=9)
    return _svg(figure)


def shown(name: str) -> str:
    """Return a name that Matplotlib draws as it is: between two dollars it would read a formula."""
    return name.replace("$", r"\$")


def _error(result: Result) -> float | None:
    value: float | None = result["nme"].get(result["norm"])
    return value


def needed() -> None:
    """Say before any work that nothing can draw, if so."""
    if find_spec("matplotlib") is None:
        raise MissingExtra.of("plot", "Drawing plots")


def _figure(width: float, height: float, rows: int = 1, columns: int = 1) -> tuple[Any, Any]:
    try:
        import matplotlib as mpl
        from matplotlib.figure import Figure
    except ImportError as error:
        raise MissingExtra.of("plot", "Drawing plots") from error
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(width, height), layout="constrained")
        return figure, figure.subplots(rows, columns)


def _svg(figure: Any) -> str:
    """Return a figure as an SVG element without a background, the same for the same figure."""
    import matplotlib as mpl

    with mpl.rc_context(STYLE):
        file = io.StringIO()
        figure.savefig(file, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
    text = file.getvalue()
    return text[text.index("<svg") :]
