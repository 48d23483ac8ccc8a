"""Options that several commands take, so that each is spelt and explained once."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

WHICH = "Which faces"
RUNNING = "Running"
DRAWING = "Drawing"

Photos = Annotated[
    list[str],
    typer.Argument(
        metavar="PHOTO|FOLDER|GLOB|@LIST",
        help="Photos, folders of photos, globs, or @FILE with a path on each line (@-: standard input).",
    ),
]
Output = Annotated[
    str | None,
    typer.Option(
        "-o",
        "--output",
        help="FILE.jsonl or FILE.csv for all photos; FILE.pts or FOLDER/ for one .pts per face. "
        "Without: JSON Lines on standard output, or a summary on a terminal or beside --overlay.",
    ),
]
Overlay = Annotated[
    str | None,
    typer.Option(help="A folder for the photos with points drawn on them; or FILE.png, for one photo."),
]
Model = Annotated[
    str | None,
    typer.Option(
        help="Who places the points: a shipped model, a folder of weights, an .onnx file.",
        show_default="integral",
    ),
]
Emotion = Annotated[
    bool,
    typer.Option(
        "--emotion",
        help="Also say which emotion each face seems to show: a label of appearance, not of feeling.",
    ),
]
Attributes = Annotated[
    bool,
    typer.Option(
        "--attributes",
        help="Also say smile, glasses, gender label and side: labels of appearance, not of identity.",
    ),
]
MarkUp = Annotated[str | None, typer.Option(help="Convert the points to this mark-up, such as mtfl5.")]
Licence = Annotated[
    str,
    typer.Option("--licence", "--license", help="permissive: only weights that are free for any use."),
]
Terms = Annotated[
    str | None,
    typer.Option(help="The terms of photos of your own, for the model's card; else they are 'not stated'."),
]
CommercialUse = Annotated[
    bool,
    typer.Option("--commercial-use", help="Say that the terms of your own photos allow commercial use."),
]
Detector = Annotated[
    str | None, typer.Option(help="Who finds the faces.", show_default="both", rich_help_panel=WHICH)
]
MinFace = Annotated[
    float | None,
    typer.Option(help="The smallest face to look for, in pixels.", show_default="40", rich_help_panel=WHICH),
]
MaxFaces = Annotated[int | None, typer.Option(help="Keep only so many, the best.", rich_help_panel=WHICH)]
Turns = Annotated[
    str,
    typer.Option(
        help="none: as the photo stands; auto: also in quarter turns where no face is surely upright; all.",
        rich_help_panel=WHICH,
    ),
]
OwnBox = Annotated[
    list[str] | None,
    typer.Option(
        metavar="L,T,R,B",
        help="A box of your own instead, tight around eyebrows and chin; may be repeated.",
        rich_help_panel=WHICH,
    ),
]
Boxes = Annotated[
    Path | None,
    typer.Option(
        help="A .csv or .jsonl file with the boxes of each photo instead, maybe from detect.",
        rich_help_panel=WHICH,
    ),
]
Recursive = Annotated[
    bool, typer.Option("-r", "--recursive", help="Look into folders in folders.", rich_help_panel=RUNNING)
]
Resume = Annotated[
    bool, typer.Option("--resume", help="Skip what the output has already.", rich_help_panel=RUNNING)
]
Workers = Annotated[
    int,
    typer.Option(min=1, help="Processes that share the photos; one a core is best.", rich_help_panel=RUNNING),
]
Engine = Annotated[
    str, typer.Option(help="local: processes here; ray: a Ray cluster.", rich_help_panel=RUNNING)
]
Shard = Annotated[
    str | None,
    typer.Option(
        metavar="I/N",
        help="Only the I-th of N equal parts of the photos: one machine each, then meanshape merge.",
        rich_help_panel=RUNNING,
    ),
]
Threads = Annotated[int, typer.Option(help="Threads for each photo.", rich_help_panel=RUNNING)]
Device = Annotated[
    str | None,
    typer.Option(
        help="Where the networks run: cpu, cuda, cuda:1, coreml, directml, openvino …",
        show_default="cpu",
        rich_help_panel=RUNNING,
    ),
]
Numbers = Annotated[bool, typer.Option("--numbers", help="Write point numbers.", rich_help_panel=DRAWING)]
Scale = Annotated[
    float,
    typer.Option(
        help="Draw on a picture so many times as large; 4 makes numbers on small faces readable.",
        rich_help_panel=DRAWING,
    ),
]
Names = Annotated[
    bool, typer.Option("--names", help="Write the names of points or groups.", rich_help_panel=DRAWING)
]
