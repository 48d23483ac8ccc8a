"""A benchmark as one HTML file that needs nothing beside it, and as tables in Markdown."""

from __future__ import annotations

import html
from collections.abc import Callable, Mapping, Sequence
from importlib.metadata import version
from typing import Any

from meanshape.core.markup import markup
from meanshape.evaluation import plots
from meanshape.evaluation.seen import CHOSEN, MARK, NOTE
from meanshape.evaluation.starts import mean_face

Record = Mapping[str, Any]
Photo = Callable[[str, str], Any]
"""Gives the photo of a data argument's sample id, for private reports; None if there is none."""

COLUMNS: dict[str, Callable[[Mapping[str, Any]], str]] = {
    "model": lambda r: f"{r['model']}{f' {MARK}' if r.get('seen') else ''}",
    "error": lambda r: _number(r["nme"].get(r["norm"])),
    "95 %": lambda r: "–" if not r["nme_interval"] else "–".join(f"{v:.2f}" for v in r["nme_interval"]),
    "median": lambda r: _number(r["nme_median"]),
    "AUC 8": lambda r: _number(r["auc"]["8"], 1),
    "above 8 %": lambda r: _number(r["failure_rate"]["8"], 1),
    "inner": lambda r: _number(r["groups"].get("inner")),
    "contour": lambda r: _number(r["groups"].get("contour")),
    "missed": lambda r: str(r["missed"]),
    "ms": lambda r: _number(r["ms_per_face"]),
    "MB": lambda r: "–" if r["bytes"] is None else f"{r['bytes'] / 1e6:.1f}",
}
PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Meanshape benchmark</title><style>
:root {{ color-scheme: light dark; font: 15px/1.5 system-ui, sans-serif; }}
body {{ max-width: 70rem; margin: 1.5rem auto; padding: 0 1rem; }}
table {{ border-collapse: collapse; font-variant-numeric: tabular-nums; margin: .8rem 0; }}
section {{ overflow-x: auto; }}
th, td {{ padding: .25rem .7rem; text-align: right; border-bottom: 1px solid #8884; }}
th:first-child, td:first-child {{ text-align: left; }}
.row {{ display: flex; flex-wrap: wrap; gap: 1rem; align-items: flex-start; }}
svg {{ max-width: 100%; height: auto; }}
.soft {{ color: #7a8494; }} h2 {{ margin-top: 2.2rem; border-bottom: 1px solid #8884; }}
</style></head><body><h1>Meanshape benchmark</h1><p class="soft">{told}</p>{body}</body></html>
"""


def to_html(records: Sequence[Record], photo: Photo | None = None) -> str:
    """Return the report; `photo` puts the worst faces' photos in, for nobody else to see."""
    parts = [_section(title, rows, photo) for title, rows in by_data(records).items()]
    machines = {
        f"{r['machine']['processor']}, {r['machine']['cores']} cores" for r in records if "machine" in r
    }
    where = ", ".join(sorted(machines))
    told = f"Meanshape {version('meanshape')}, commit {_commits(records)}; measured on {where}."
    return PAGE.format(told=html.escape(told), body="".join(parts))


def to_markdown(records: Sequence[Record]) -> str:
    """Return the tables; names that hold HTML are shown, not run, where Markdown is rendered."""
    parts = []
    for title, rows in by_data(records).items():
        results = [row["result"] for row in rows]
        lines = [f"### {title}", "", _note(results[0]), ""]
        lines += ["| " + " | ".join(COLUMNS) + " |", "|---" * len(COLUMNS) + "|"]
        rows_ = [" | ".join(cell(result) for cell in COLUMNS.values()) for result in results]
        lines += [f"| {row} |" for row in rows_]
        lines += [line for remark in _remarks(rows) for line in ("", remark)]
        parts.append("\n".join(lines))
    return html.escape("\n\n".join(parts), quote=False) + "\n"


def by_data(records: Sequence[Record]) -> dict[str, list[Record]]:
    """Return the records that were measured, by data, box and what was compared, the best first."""
    found: dict[str, list[Record]] = {}
    for record in records:
        if "result" in record:
            cell, result = record["cell"], record["result"]
            threads = f", {cell['threads']} threads" if cell["threads"] > 1 else ""
            title = f"{cell['data']}, {result['markup']}, box {cell['box']}{threads}"
            found.setdefault(title, []).append(record)
    for rows in found.values():
        rows.sort(key=lambda row: row["result"]["nme"].get(row["result"]["norm"]) or float("inf"))
    return found


def _section(title: str, rows: Sequence[Record], photo: Photo | None) -> str:
    results = [row["result"] for row in rows]
    head = "".join(f"<th>{html.escape(name)}</th>" for name in COLUMNS)
    body = "".join(
        "<tr>" + "".join(f"<td>{html.escape(cell(result))}</td>" for cell in COLUMNS.values()) + "</tr>"
        for result in results
    )
    mean = mean_face(markup(results[0]["markup"]))
    drawn = [plots.curves(results), plots.speed(results)]
    faces = [plots.on_face(result, mean) for result in results] if mean is not None else []
    edges = markup(results[0]["markup"]).edges
    cases, data = rows[0]["worst"], rows[0]["cell"]["data"]
    worst = [plots.case(case, edges, photo and photo(data, case["id"])) for case in cases]
    return "".join(
        [
            f"<section><h2>{html.escape(title)}</h2><p class='soft'>{html.escape(_note(results[0]))}</p>",
            f"<table><tr>{head}</tr>{body}</table>",
            "".join(f"<p class='soft'>{html.escape(line)}</p>" for line in _remarks(rows)),
            f"<div class='row'>{''.join(drawn)}</div>",
            f"<h3>By part</h3><div class='row'>{plots.groups(results)}</div>",
            f"<h3>By point</h3><div class='row'>{''.join(faces)}</div>" if faces else "",
            _labels(results),
            _confidence(results),
            f"<h3>The largest errors of {html.escape(results[0]['model'])}: true green, predicted red</h3>",
            f"<div class='row'>{''.join(worst)}</div></section>",
        ]
    )


def _labels(results: Sequence[Mapping[str, Any]]) -> str:
    """Return the error by pose, glasses and gender label, where the data has such labels."""
    names = {(k, label): None for result in results for k, found in result["by"].items() for label in found}
    if not names:
        return ""
    head = "".join(f"<th>{html.escape(f'{key}: {label}')}</th>" for key, label in names)
    rows = "".join(
        f"<tr><td>{html.escape(result['model'])}</td>"
        + "".join(f"<td>{_number(result['by'].get(key, {}).get(label))}</td>" for key, label in names)
        + "</tr>"
        for result in results
    )
    title = "<h3>By label (annotators' words for an appearance)</h3>"
    return f"{title}<table><tr><th></th>{head}</tr>{rows}</table>"


def _confidence(results: Sequence[Mapping[str, Any]]) -> str:
    """Draw how often points of a confidence are right, for the models that say how sure they are."""
    found = {result["model"]: result["confidence"] for result in results if result.get("confidence")}
    return f"<h3>Confidence</h3>{plots.reliability(found)}" if found else ""


def _note(result: Mapping[str, Any]) -> str:
    norm = str(result["norm"]).replace("_", "-")
    return f"{result['count']} faces; errors in % of {norm}, mean over faces; ms: median of one face."


def _remarks(rows: Sequence[Record]) -> list[str]:
    """Return who has seen these faces, and what cells that were measured elsewhere say of themselves."""
    told = [(row["result"]["model"], row.get("version"), row.get("note")) for row in rows]
    lines = [f"{name} {version or ''}: {note}.".replace(" :", ":") for name, version, note in told if note]
    chosen = [row["result"]["model"] for row in rows if row["result"].get("chosen")]
    if chosen:
        lines.insert(0, f"{', '.join(chosen)}: {CHOSEN}.")
    return [f"{NOTE}.", *lines] if any(row["result"].get("seen") for row in rows) else lines


def _commits(records: Sequence[Record]) -> str:
    return ", ".join(sorted({str(record.get("commit") or "unknown") for record in records}))


def _number(value: float | None, digits: int = 2) -> str:
    return "–" if value is None else f"{value:.{digits}f}"
