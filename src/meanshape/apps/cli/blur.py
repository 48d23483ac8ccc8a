"""Hide the faces in photos or in a video, so that nobody is recognised."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from meanshape.apps.cli import _console as console
from meanshape.apps.cli import _options as options
from meanshape.core.errors import ConfigError, FormatError, ImageError, OutputError

if TYPE_CHECKING:
    from meanshape.inference.blur_photos import Find
    from meanshape.inference.blur_record import Entry, Gap
    from meanshape.inference.contact import Sheet

app = typer.Typer()

HIDING = "How they are hidden"
LISTED = 20
"""Lines of a report at most; the record has all."""

Sources = Annotated[
    list[str],
    typer.Argument(
        metavar="PHOTO|FOLDER|GLOB|@LIST|VIDEO",
        help="Photos, folders of photos, globs, @FILE with a path on each line; or one video.",
    ),
]
Output = Annotated[
    str, typer.Option("-o", "--output", help="A folder; a picture, for one photo; a video, for a video.")
]
Mode = Annotated[
    str, typer.Option(help="blur, pixelate, or fill: black, which keeps nothing.", rich_help_panel=HIDING)
]
Kind = Annotated[
    str, typer.Option("--region", help="outline (with the forehead) or box.", rich_help_panel=HIDING)
]
Grow = Annotated[
    float, typer.Option(help="Hide so many times the face's width and height.", rich_help_panel=HIDING)
]
Blocks = Annotated[
    int, typer.Option(help="Blocks across a face, 1 to 8, that are left of it.", rich_help_panel=HIDING)
]
Threshold = Annotated[
    float | None,
    typer.Option(
        help="The score from which something is a face; lower finds more, also what is none.",
        show_default="0.3",
        rich_help_panel=options.WHICH,
    ),
]
MinFace = Annotated[
    float | None,
    typer.Option(
        help="The smallest face to look for, in pixels.",
        show_default="20, or 0.8 % of the longer side",
        rich_help_panel=options.WHICH,
    ),
]
Turns = Annotated[
    str,
    typer.Option(
        help="all: in four quarter turns; auto: only where no face is surely upright; none.",
        rich_help_panel=options.WHICH,
    ),
]
Record = Annotated[
    Path | None, typer.Option(help="A .json file of what was hidden where, to look at and to edit.")
]
Apply = Annotated[Path | None, typer.Option(help="Hide what a record says; nothing is searched.")]
Audit = Annotated[Path | None, typer.Option(help="A contact sheet of the results, .jpg or .png, to check.")]
Hold = Annotated[
    float, typer.Option(min=0, help="Seconds that a face stays hidden before and after it is found (video).")
]
Mute = Annotated[bool, typer.Option("--mute", help="Leave the sound out: voices are recognised, too.")]


@app.command()
def blur(
    sources: Sources,
    output: Output,
    mode: Mode = "blur",
    region: Kind = "outline",
    grow: Grow = 1.15,
    blocks: Blocks = 6,
    threshold: Threshold = None,
    min_face: MinFace = None,
    turns: Turns = "all",
    licence: options.Licence = "any",
    record: Record = None,
    apply: Apply = None,
    audit: Audit = None,
    hold: Hold = 0.5,
    mute: Mute = False,
    recursive: options.Recursive = False,
    resume: options.Resume = False,
    threads: options.Threads = 1,
    device: options.Device = None,
) -> None:
    """Hide the faces in photos or in a video, so that nobody is recognised.

    No detector finds every face: look at the results, --audit makes that quick. Nothing of the file but its
    pixels is kept: no EXIF, no place, no thumbnail.
    """
    from meanshape.inference import regions
    from meanshape.inference.blur import check as check_mode
    from meanshape.inference.overlays import check_picture

    check_mode(mode, blocks)
    regions.check(region, grow)
    if apply is not None and threshold is not None:
        raise ConfigError("--apply searches nothing: --threshold would do nothing")
    if record is not None and record.suffix.lower() != ".json":
        raise ConfigError(f"{record}: a record is a .json file")
    if audit is not None:
        check_picture(audit, *sources)
    film = _is_video(sources, output)
    settings = {
        "licence": licence, "threads": threads, "device": device, "threshold": threshold, "turns": turns,
        "min_face": min_face, "region": region, "grow": grow,
    }  # fmt: skip
    hiding = {"mode": mode, "blocks": blocks}
    if film:
        if resume or recursive:
            raise ConfigError("--resume and --recursive are for folders of photos, not for a video")
        _video(Path(sources[0]), Path(output), settings, hiding, record, apply, audit, hold, mute)
    else:
        _photos(sources, output, settings, hiding, record, apply, audit, recursive, resume)


def _is_video(sources: list[str], output: str) -> bool:
    """Tell whether a video is wanted; a moving .gif is one where the output is."""
    from meanshape.inference.clip import SUFFIXES

    kinds = {Path(source).suffix.lower() for source in sources if Path(source).is_file()} & {*SUFFIXES}
    if Path(output).suffix.lower() not in SUFFIXES:
        kinds.discard(".gif")
    if kinds and len(sources) > 1:
        raise ConfigError("a video is blurred alone: name it and nothing else")
    return bool(kinds)


def _finder(settings: dict[str, Any]) -> Find:
    """Return what finds the regions of a picture."""
    from meanshape.inference import choice
    from meanshape.inference.blur_photos import finder
    from meanshape.inference.pipeline import Pipeline
    from meanshape.inference.thorough import THRESHOLD, Thorough

    threads, providers = settings["threads"], choice.providers_of(settings["device"])
    detector = Thorough(
        threshold=THRESHOLD if settings["threshold"] is None else settings["threshold"], threads=threads,
        providers=providers, free=settings["licence"] == "permissive",
    )  # fmt: skip
    pipeline = Pipeline(
        detector, licence=settings["licence"], threads=threads, turns=settings["turns"],
        min_face=settings["min_face"], device=settings["device"],
    )  # fmt: skip
    return finder(pipeline, settings["region"], settings["grow"], settings["min_face"])


def _photos(
    arguments: list[str],
    output: str,
    settings: dict[str, Any],
    hiding: dict[str, Any],
    record: Path | None,
    apply: Path | None,
    audit: Path | None,
    recursive: bool,
    resume: bool,
) -> None:
    """Hide the faces in photos."""
    from meanshape.inference import blur_photos, blur_record
    from meanshape.inference.contact import Sheet
    from meanshape.inference.sources import photos as expand

    left_out: list[str] = []
    found = blur_photos.outside(expand(arguments, recursive, left_out), output)
    _say_left_out(arguments, left_out, recursive)
    base = arguments[0] if len(arguments) == 1 and Path(arguments[0]).is_dir() else None
    places = blur_photos.Places(output, found, base)
    earlier = _earlier(record) if resume else {}
    done = {
        source for source in found if resume and places.done(source) and (record is None or source in earlier)
    }
    _check_audit(audit, [places.folder / name for name in places.names.values()])
    find = _finder(settings) if apply is None else blur_photos.applied(blur_record.read(apply), apply)
    entries = {source: earlier[source] for source in done if source in earlier}
    sheet = Sheet() if audit is not None else None
    todo = [source for source in found if source not in done]
    try:
        with console.progress(len(todo), "photos") as step:
            for entry, pixels in blur_photos.hidden(todo, find, **hiding, strict=len(found) == 1):
                if pixels is None:
                    console.say(f"skipped: {entry.error}")
                else:
                    places.write(entry.source, pixels)
                    _show(sheet, entry, pixels)
                entries[entry.source] = entry
                step()
    finally:
        if record is not None and entries:
            blur_record.write(record, [entries[one] for one in found if one in entries])
    _report(found, done, entries, output, [record, _write_sheet(sheet, audit)])


def _say_left_out(arguments: list[str], pictures: list[str], recursive: bool) -> None:
    """Say what lies in the folders and shows faces, perhaps, but is not looked at."""
    from meanshape.inference.clip import SUFFIXES
    from meanshape.inference.sources import some

    videos = [
        str(path)
        for folder in map(Path, arguments)
        if folder.is_dir()
        for path in sorted(folder.rglob("*") if recursive else folder.iterdir())
        if path.suffix.lower() in set(SUFFIXES) - {".gif"}
    ]
    for kind, names in (("pictures of kinds that are not read", pictures), ("videos", videos)):
        if names:
            console.say(f"left out, and not in the output: {len(names)} {kind}: {some(names)}")


def _earlier(record: Path | None) -> dict[str, Entry]:
    """Return what the record of an earlier run says of photos that could be read."""
    from meanshape.inference import blur_record

    if record is None or not record.exists():
        return {}
    return {entry.source: entry for entry in blur_record.read(record) if entry.error is None}


def _show(sheet: Sheet | None, entry: Entry, pixels: Any) -> None:
    """Put a photo on the contact sheet: those without a face first, then those with the least sure one."""
    if sheet is None:
        return
    scores = [part.score for part in entry.regions if part.score is not None]
    count = len(entry.regions)
    least = f", least score {min(scores):.2f}" if scores else ""
    text = f"{Path(entry.source).name}: {count or 'NO'} face{'' if count == 1 else 's'}{least}"
    sheet.add(pixels, text, 2.0 if not count else 1 - min(scores, default=1.0), alarm=not count)


def _write_sheet(sheet: Sheet | None, audit: Path | None) -> Path | None:
    from meanshape.core.image import write_image

    if sheet is None or audit is None or not sheet.count:
        return None
    write_image(audit, sheet.picture(), quality=88)
    if sheet.count > sheet.most:
        console.say(f"{audit}: the {sheet.most} most doubtful of {sheet.count} pictures")
    return audit


def _check_audit(audit: Path | None, results: list[Path]) -> None:
    """Refuse a contact sheet in the place of a result."""
    if audit is not None and os.path.realpath(audit) in {os.path.realpath(one) for one in results}:
        raise OutputError(f"{audit}: the contact sheet would replace a result; choose another place for it")


def _report(
    found: list[str], done: set[str], entries: dict[str, Entry], output: str, files: list[Path | None]
) -> None:
    """Say what came of it; if no photo could be read, that is an error."""
    from meanshape.inference.sources import some

    fresh = [entries[source] for source in found if source not in done]
    read = [entry for entry in fresh if entry.error is None]
    if not read and not done:
        raise ImageError(f"none of the {len(found)} photos could be read")
    empty = [entry.source for entry in read if not entry.regions]
    if empty:
        many = "these photos are" if len(empty) > 1 else "this photo is"
        console.say(f"no face was found, so {many} as before, without metadata: {some(empty)}")
    faces = sum(len(entry.regions) for entry in read)
    if len(found) > 1:
        console.table([
            ("photos", f"{len(fresh)}"),
            ("faces hidden", f"{faces}"),
            ("photos without a face", f"{len(empty)}"),
            ("broken photos, not in the output", f"{len(fresh) - len(read)}"),
            *([("done before, skipped", f"{len(done)}")] if done else []),
        ])  # fmt: skip
    made = ", ".join(str(path) for path in files if path)
    told = f"{len(read)} photo{'' if len(read) == 1 else 's'}, {faces} face{'' if faces == 1 else 's'} hidden"
    console.say(f"written: {output} ({told}){f', {made}' if made else ''}", plain=True)


def _video(
    source: Path,
    output: Path,
    settings: dict[str, Any],
    hiding: dict[str, Any],
    record: Path | None,
    apply: Path | None,
    audit: Path | None,
    hold: float,
    mute: bool,
) -> None:
    """Hide the faces in a video: search all of it, then write it."""
    from meanshape.inference import blur_record, blur_video
    from meanshape.inference.clip import Clip
    from meanshape.inference.contact import Sheet
    from meanshape.inference.recorder import Recorder

    if output.exists() and output.samefile(source):
        raise OutputError(f"{output} is the video itself; choose another output")
    _check_audit(audit, [output])
    gaps: list[Gap] = []
    with Clip(source) as clip:
        Recorder(output, clip.rate)  # what cannot be written is said now
        if apply is None:
            with console.progress(clip.count or round(clip.seconds * clip.rate), "frames searched") as step:
                found = blur_video.search(clip, _finder(settings), step)
            entries, gaps = blur_video.held(found, hold)
            if record is not None:
                blur_record.write(record, entries, gaps)
        else:
            entries = blur_record.read(apply)
    if not entries:
        raise FormatError("a record without a frame", apply)
    sheet = Sheet() if audit is not None else None
    notes = _write_video(source, output, entries, gaps, hiding, sheet, mute)
    _say_gaps(gaps)
    for note in notes:
        console.say(note)
    bare = sum(not entry.regions for entry in entries)
    lost = sum(gap.frames for gap in gaps)
    console.table([
        ("frames", f"{len(entries)}"),
        ("frames in which nothing is hidden", f"{bare}"),
        ("frames in which a face was lost for a moment, hidden all the same", f"{lost}"),
    ])  # fmt: skip
    more = [str(one) for one in (record if apply is None else None, _write_sheet(sheet, audit)) if one]
    console.say(f"written: {', '.join([f'{output} ({len(entries)} frames)', *more])}", plain=True)


def _write_video(
    source: Path,
    output: Path,
    entries: list[Entry],
    gaps: list[Gap],
    hiding: dict[str, Any],
    sheet: Sheet | None,
    mute: bool,
) -> list[str]:
    """Write the video and fill the contact sheet; return what is not in it as it was, in words."""
    from meanshape.inference import blur_video
    from meanshape.inference.clip import Clip
    from meanshape.inference.contact import MOST
    from meanshape.inference.recorder import Recorder

    wanted = set(blur_video.shown(entries, gaps, MOST)) if sheet is not None else set()
    with Clip(source) as clip, console.progress(len(entries), "frames written") as step:
        recorder = Recorder(output, clip.rate, None if mute else clip.audio)

        def seen(number: int, pixels: Any) -> None:
            if sheet is not None and number in wanted:
                parts = entries[number].regions
                time = entries[number].source.rpartition("#t=")[2]
                lost = any(part.held for part in parts)
                text = f"{time} s: {len(parts) or 'NOTHING'} hidden{', lost here' if lost else ''}"
                sheet.add(pixels, text, float(lost), alarm=lost or not parts)
            step()

        try:
            blur_video.write(clip, recorder, entries, **hiding, seen=seen)
            recorder.close()
        except BaseException:
            recorder.discard()
            raise
    return recorder.notes


def _say_gaps(gaps: list[Gap]) -> None:
    """Say where a face was lost for a moment."""
    for gap in gaps[:LISTED]:
        frames = f"{gap.frames} frame{'' if gap.frames == 1 else 's'}"
        console.say(f"face {gap.track} was lost for {frames} from {gap.begin:.2f} s to {gap.end:.2f} s")
    if len(gaps) > LISTED:
        console.say(f"and {len(gaps) - LISTED} such gaps more; --record has all of them")
