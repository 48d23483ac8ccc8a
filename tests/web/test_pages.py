"""The pages in Chromium: what a person sees and does."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import meanshape as ms
from meanshape.apps.cli import main
from meanshape.apps.web.folder import Folder
from meanshape.apps.web.server import create_app
from meanshape.apps.web.service import Service
from meanshape.core.image import read_image, write_image
from meanshape.core.markup import markup
from meanshape.datasets import load_data
from meanshape.datasets.synthetic import face
from meanshape.formats import csv, pts
from meanshape.inference import Pipeline
from meanshape.methods.mean_shape import MeanShape

PHOTO = Path(__file__).parents[2] / "examples" / "astronaut.jpg"
pytestmark = pytest.mark.xdist_group("browser")


def test_a_dropped_photo_shows_its_points_at_the_right_pixels(server: str, page: Any, tmp_path: Path) -> None:
    page.goto(server)
    page.set_input_files("#files", str(PHOTO))
    page.until("Boolean(window.meanshape.current()?.result)")
    shown = page.until("window.meanshape.view.shapes[0]?.points")
    assert np.abs(np.array(shown) - ms.detect(PHOTO).faces[0].shape.points).max() < 1e-6
    # on the screen: the nose tip is drawn where the picture's pixel lies
    x, y = page.evaluate("window.meanshape.view.toScreen(window.meanshape.view.shapes[0].points[30])")
    scale, left = page.evaluate("(({scale, x}) => [scale, x])(window.meanshape.view)")
    assert (x - left) / scale - 0.5 == pytest.approx(shown[30][0])
    page.wait_for_timeout(100)
    stage = page.locator("#stage canvas").bounding_box()
    pixel = page.evaluate(
        "([x, y]) => [...document.querySelector('#stage canvas').getContext('2d')"
        ".getImageData(x * devicePixelRatio, y * devicePixelRatio, 1, 1).data]",
        [x, y],
    )
    assert pixel[2] > 180 and pixel[0] < 120  # blue: a point
    page.mouse.move(stage["x"] + x, stage["y"] + y)
    assert page.locator(".tip").inner_text().startswith("30 ")
    with page.expect_download() as got:
        page.click("[data-as=json]")
    assert len(json.loads(Path(got.value.path()).read_text())["faces"][0]["shape"]["points"]) == 70
    with page.expect_download() as got:
        page.click("[data-as=pts]")
    first = Path(got.value.path()).read_text().split("{\n")[1].split()[:2]
    assert float(first[0]) == pytest.approx(shown[0][0] + 1, abs=1e-3)


def test_what_is_taken_along_holds_every_face_where_it_is(server: str, page: Any, tmp_path: Path) -> None:
    one = read_image(PHOTO)
    write_image(tmp_path / "two.jpg", np.concatenate([one, one], axis=1))
    page.goto(server)
    page.set_input_files("#files", str(tmp_path / "two.jpg"))
    page.until("window.meanshape.current()?.result?.faces.length === 2")
    page.uncheck("#boxes")
    faces = page.evaluate("window.meanshape.current().result.faces")
    saved: dict[str, Path] = {}
    page.on("download", lambda got: saved.update({got.suggested_filename: Path(got.path())}))
    for kind in ("csv", "pts", "png"):
        page.click(f"[data-as={kind}]")
    for _ in range(100):
        page.wait_for_timeout(50)
        if len(saved) == 4:
            break
    assert sorted(saved) == ["two.csv", "two.face2.pts", "two.png", "two.pts"]
    (read,) = csv.read(saved["two.csv"])
    for found, wanted, name in zip(read.faces, faces, ("two.pts", "two.face2.pts"), strict=True):
        points = np.array(wanted["shape"]["points"])
        assert np.abs(found.shape.points - points).max() < 1e-6
        assert found.box.as_list() == wanted["box"] and found.score == wanted["score"]
        assert np.abs(pts.read_points(saved[name]) - points).max() < 1e-3
    before, after = (read_image(path).astype(int) for path in (tmp_path / "two.jpg", saved["two.png"]))
    changed = np.abs(after - before).max(axis=2) > 60
    for found in read.faces:
        for x, y in np.rint(found.shape.points[27:48]).astype(int):
            assert changed[y - 2 : y + 3, x - 2 : x + 3].any()
        left, top, right, bottom = np.rint(found.shape.box().as_list()).astype(int)
        assert changed[top:bottom, left:right].mean() < 0.4  # as small as the face is, not as the photo is
    assert not changed[:6, :6].any()


def test_a_picture_that_the_browser_cannot_show_is_said(server: str, page: Any, tmp_path: Path) -> None:
    write_image(tmp_path / "one.tif", read_image(PHOTO))
    page.goto(server)
    for path, said in ((tmp_path / "one.tif", "cannot show such pictures"), (PHOTO, "")):
        page.set_input_files("#files", str(path))
        page.until(f"window.meanshape.current()?.name === '{path.name}' && window.meanshape.current().result")
        page.until("document.getElementById('busy').hidden")
        assert said in page.locator("#note").inner_text()
    assert page.locator("#note").inner_text() == ""


def test_what_cannot_be_read_is_said(server: str, page: Any, tmp_path: Path) -> None:
    path = tmp_path / "broken.jpg"
    path.write_bytes(b"no picture")
    page.goto(server)
    page.set_input_files("#files", str(path))
    page.until("!document.getElementById('error').hidden")
    assert "not a picture" in page.locator("#error").inner_text()
    assert [line for line in page.wrong if "422" in line] == page.wrong
    page.wrong.clear()


def test_the_camera_gives_results(server: str, page: Any) -> None:
    page.goto(server)
    page.click("#camera")
    page.until("Number(document.getElementById('note').dataset.rate) > 1")
    # the picture under the points is the one that they were found in, though the next is on its way
    shown = page.evaluate(
        "(async () => { const seen = []; for (let n = 0; n < 6; n += 1) {"
        " const { picture } = window.meanshape.view; const data = () => picture.toDataURL();"
        " const before = data(); await new Promise(requestAnimationFrame);"
        " if (picture === window.meanshape.view.picture) seen.push(before === data()); } return seen; })()"
    )
    assert shown and all(shown)
    page.click("#stop")


def test_two_models_are_compared_and_one_is_explained(server: str, page: Any) -> None:
    page.goto(f"{server}/compare")
    page.until("document.querySelectorAll('#models input').length > 1")
    for name in ("integral", "cpr", "asm", "aam"):
        if page.locator(f"#models input[value={name}]").count():
            page.uncheck(f"#models input[value={name}]")
    page.check("#models input[value=mtcnn]")
    page.select_option("#explained", "dan")
    page.set_input_files("#files", str(PHOTO))
    page.until("document.querySelectorAll('.panes figure').length > 2")
    page.until("document.querySelectorAll('#step-pictures img').length == 2")
    assert page.evaluate("[...window.meanshape.panes.keys()]") == ["dan", "mtcnn"]
    assert page.locator("#table tr").nth(1).inner_text().rstrip().endswith("%")
    page.locator("#step").fill("0")
    page.until("document.getElementById('step-title').textContent.includes('S0')")


def test_a_dragged_point_is_saved(server: str, page: Any, folder: Any) -> None:
    page.goto(f"{server}/correct#0.png")
    before = page.until("window.meanshape.now()?.faces[0]?.points[30]")
    stage = page.locator("#stage canvas").bounding_box()
    x, y = page.evaluate("window.meanshape.view.toScreen(window.meanshape.now().faces[0].points[30])")
    page.mouse.move(stage["x"] + x, stage["y"] + y)
    page.mouse.down()
    page.mouse.move(stage["x"] + x + 30, stage["y"] + y - 20, steps=4)
    page.mouse.up()
    scale = page.evaluate("window.meanshape.view.scale")
    page.until("document.getElementById('state').textContent == 'saved'")
    page.reload()
    after = page.until("window.meanshape.now()?.faces[0]?.points[30]")
    moved = np.subtract(after, before) * scale
    assert moved == pytest.approx([30, -20], abs=1.5)
    kept = folder.label("0.png").faces[0].shape.points
    assert kept[30] == pytest.approx(after) and kept[29] == pytest.approx(
        page.evaluate("window.meanshape.now().faces[0].points[29]")
    )


def test_corrected_by_keyboard_alone(server: str, page: Any, folder: Any) -> None:
    page.goto(f"{server}/correct#0.png")
    start = page.until("window.meanshape.now()?.faces[0]?.points[1]")
    page.locator("#stage canvas").focus()
    page.keyboard.press("Tab")
    page.keyboard.press("Shift+ArrowRight")
    page.keyboard.press("ArrowUp")
    page.keyboard.press("h")
    shift = np.subtract(page.evaluate("window.meanshape.now().faces[0].points[1]"), start)
    assert shift == pytest.approx([5, -0.5])
    page.keyboard.press("Control+z")
    page.keyboard.press("Control+z")
    page.keyboard.press("Control+y")
    page.until("document.getElementById('state').textContent == 'saved'")
    page.evaluate("window.meanshape.settle()")
    kept = folder.label("0.png").faces[0].shape
    assert kept.points[1] == pytest.approx(np.add(start, [5, -0.5])) and kept.visible is None
    page.keyboard.press("n")
    page.until("window.meanshape.now().name != '0.png'")


def test_a_save_that_failed_is_said_kept_and_tried_again(
    page: Any, served: Any, folder: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*given: Any, **more: Any) -> None:
        raise OSError(28, "No space left on device")

    address, stop = served(create_app(folder=folder))
    page.goto(f"{address}/correct#0.png")
    start = page.until("window.meanshape.now()?.faces[0]?.points[0]")
    page.locator("#stage canvas").focus()
    with monkeypatch.context() as patch:
        patch.setattr("os.replace", full)
        page.keyboard.press("ArrowLeft")
        page.until("!document.getElementById('unsaved').hidden")
        assert "No space left" in page.locator("#error").inner_text()
        assert page.locator("#state").inner_text() == "not saved"
        page.keyboard.press("n")  # cannot be left: the change would be lost
        page.until("!document.getElementById('unsaved').hidden")
        page.click("#photos button >> nth=1")
        assert page.evaluate("window.meanshape.settle()") is False
        assert page.evaluate("window.meanshape.now().name") == "0.png"
        assert page.locator("#count").inner_text().startswith("0 of 3")
    page.click("#again")
    page.until("document.getElementById('state').textContent == 'saved'")
    assert page.locator("#unsaved").is_hidden() and page.locator("#error").is_hidden()
    assert folder.label("0.png").faces[0].shape.points[0] == pytest.approx(np.add(start, [-0.5, 0]))
    assert all("507" in line for line in page.wrong)
    page.wrong.clear()
    stop()


def test_a_face_that_was_not_touched_is_not_done(server: str, page: Any, folder: Any) -> None:
    page.goto(f"{server}/correct#0.png")
    page.until("window.meanshape.now()?.faces.length")
    page.click("#add")
    drag(page, [20, 20], [80, 80])
    page.until("window.meanshape.now().faces.length == 2")
    page.until("document.getElementById('state').textContent == 'saved, 0 of 2 checked'")
    drag(page, page.evaluate("window.meanshape.now().faces[0].points[30]"), [100, 100])
    page.until("document.getElementById('state').textContent == 'saved, 1 of 2 checked'")
    assert page.locator("#count").inner_text().startswith("0 of 3")
    assert page.locator("#photos [aria-current] span").nth(1).inner_text() == "1 of 2"
    page.reload()
    page.until("window.meanshape.now()?.faces.length == 2")
    assert page.evaluate("window.meanshape.now().faces.map((face) => face.checked)") == [True, False]
    assert len(load_data(f"folder:{folder.root}")) == 1
    page.locator("#stage canvas").focus()
    page.keyboard.press("n")
    page.until("window.meanshape.now().name != '0.png'")
    assert page.locator("#count").inner_text().startswith("1 of 3")
    assert len(load_data(f"folder:{folder.root}")) == 2


def test_two_tabs_do_not_overwrite_each_other(server: str, page: Any, browser: Any, watched: Any) -> None:
    other = watched(browser.new_page())
    for tab in (page, other):
        tab.goto(f"{server}/correct#1.png")
        tab.until("window.meanshape.now()?.faces[0]?.points[0]")
        tab.locator("#stage canvas").focus()
    page.keyboard.press("ArrowLeft")
    page.until("document.getElementById('state').textContent == 'saved'")
    other.keyboard.press("ArrowRight")
    other.until("!document.getElementById('conflict').hidden")
    assert "saved elsewhere" in other.locator("#error").inner_text()
    theirs = page.evaluate("window.meanshape.now().faces[0].points[0]")
    other.click("#theirs")
    other.until("document.getElementById('state').textContent == 'saved'")
    assert other.evaluate("window.meanshape.now().faces[0].points[0]") == theirs
    other.close()


@pytest.mark.parametrize("width", [360, 1200])
@pytest.mark.parametrize("path", ["/", "/compare", "/correct"])
def test_nothing_is_wider_than_the_screen(server: str, page: Any, path: str, width: int) -> None:
    page.set_viewport_size({"width": width, "height": 740})
    page.goto(server + path)
    page.wait_for_timeout(300)
    assert page.evaluate("document.documentElement.scrollWidth") <= width


def test_ten_photos_are_corrected_trained_on_and_evaluated(page: Any, served: Any, tmp_path: Path) -> None:
    """The whole way: a point dragged to its place in each photo, saved; a model of them; its error."""
    root, truth = tmp_path / "ten", {}
    root.mkdir()
    for seed in range(10):
        sample = rendered(seed)
        write_image(root / f"{seed}.png", sample.pixels())
        truth[f"{seed}.png"] = sample.shape.points
    address, stop = served(
        create_app(Service({"max_faces": 1}), folder=Folder(root, markup("ibug68"), Pipeline(max_faces=1)))
    )
    page.goto(f"{address}/correct")
    names = [""]
    while len(names) <= len(truth):
        now = "window.meanshape.now()"
        names.append(page.until(f"{now} && {now}.name !== '{names[-1]}' && {now}.name"))
        points = truth[names[-1]]
        if not page.evaluate(f"{now}.faces.length"):  # not found: draw its box
            page.click("#add")
            drag(page, points.min(0), points.max(0))
            page.until(f"{now}.faces.length")
        drag(page, page.evaluate(f"{now}.faces[0].points[33]"), points[33])
        page.until("document.getElementById('state').textContent == 'saved'")
        page.keyboard.press("n")
    page.until("document.getElementById('count').textContent.startsWith('10 of 10')")
    stop()
    assert sorted(names[1:]) == sorted(truth)
    data, run = f"folder:{root}", tmp_path / "run"
    for sample in (corrected := load_data(data)):
        assert sample.shape.points[33] == pytest.approx(truth[f"{sample.id}.png"][33], abs=0.7)
    small = ["--set", "faces=60", "--set", "modes=12", "--set", "ridge=0.3"]
    assert main(["train", "asm", "--data", data, "--out", str(run), *small]) == 0
    others = [rendered(seed) for seed in range(10, 15)]
    mean = ms.evaluate(MeanShape().fit(corrected), others).nme()
    assert ms.evaluate(ms.load(run), others).nme() < 0.85 * mean


def rendered(seed: int) -> ms.Sample:
    return face(seed, 200, occlusion=0, yaw=0, emotion="neutral", degrade=False)


def drag(page: Any, start: Any, end: Any) -> None:
    """Drag from one place in the picture to another."""
    page.wait_for_timeout(60)  # what is asked for is drawn
    stage = page.locator("#stage canvas").bounding_box()
    for place in (start, end):
        x, y = page.evaluate("(at) => window.meanshape.view.toScreen(at)", [float(value) for value in place])
        page.mouse.move(stage["x"] + x, stage["y"] + y, steps=3)
        page.mouse.down() if place is start else page.mouse.up()
