"""The JSON API: answers as the package does, says no to strangers, and never falls over."""

from __future__ import annotations

import asyncio
import io
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import numpy as np
import pytest
import uvicorn
from fastapi.testclient import TestClient
from PIL import Image

import meanshape as ms
from meanshape.apps.cli import serve
from meanshape.apps.web.jobs import Jobs
from meanshape.apps.web.limits import Limits
from meanshape.apps.web.server import create_app
from meanshape.inference import choice

ROOT = Path(__file__).parents[2]
PHOTO = ROOT / "examples" / "astronaut.jpg"
HOST = {"host": "localhost"}


@pytest.fixture(scope="module")
def client() -> Iterator[TestClient]:
    with TestClient(create_app(), base_url="http://localhost") as opened:
        yield opened


def post(client: TestClient, data: bytes, path: str = "/v1/detect", **options: Any) -> Any:
    return client.post(path, files={"image": ("x.jpg", data)}, params=options)


def png(pixels: np.ndarray) -> bytes:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()


def test_answers_as_the_package_does(client: TestClient) -> None:
    answer = post(client, PHOTO.read_bytes()).json()
    wanted = ms.detect(PHOTO).to_dict()
    assert answer["schema"] == 1 and answer["source"] == "x.jpg" and answer["model"] == choice.MODEL
    assert answer["faces"][0]["shape"] == wanted["faces"][0]["shape"]
    five = post(client, PHOTO.read_bytes(), markup="mtfl5").json()["faces"][0]["shape"]
    assert five["markup"] == "mtfl5" and len(five["points"]) == 5


def test_settings_need_no_new_networks() -> None:
    """Else each new `min_face` of a client would load them again."""
    jobs = Jobs({}, Limits())
    first = jobs.pipeline(min_face=60.0, markup="mtfl5")
    other = jobs.pipeline(min_face=61.0)
    assert other.model is first.model and other.detector is first.detector
    assert (other.min_face, other.markup) == (61, None)
    assert jobs.pipeline(model="asm").model is not first.model
    assert jobs.pipeline(min_face=61.0) is other


def test_a_batch_goes_on_after_a_broken_picture(client: TestClient) -> None:
    files = [("images", ("a.jpg", PHOTO.read_bytes())), ("images", ("b.jpg", b"none"))]
    one, other = client.post("/v1/detect/batch", files=files).json()["results"]
    assert len(one["faces"]) == 1 and one["error"] is None
    assert other["source"] == "b.jpg" and "not a picture" in other["error"]


def test_frames_of_a_session_are_followed(client: TestClient) -> None:
    tracks = [
        post(client, PHOTO.read_bytes(), session="s", time=n / 25).json()["faces"][0]["track"]
        for n in range(3)
    ]
    assert tracks == [0, 0, 0]


def test_steps_end_with_the_models_answer(client: TestClient) -> None:
    steps = post(client, PHOTO.read_bytes(), "/v1/steps", model="dan").json()["steps"]
    assert [step["name"][:2] for step in steps] == ["S0", "S1", "S2"]
    assert set(steps[2]["pictures"]) == {"picture, brought upright", "heatmap"}
    wanted = ms.Pipeline(model="dan")(PHOTO).faces[0].shape.points
    assert np.abs(np.array(steps[2]["points"]) - wanted).max() < 0.01
    assert "shows no steps" in post(client, PHOTO.read_bytes(), "/v1/steps", model="mtcnn").json()["error"]
    assert "were found" in post(client, PHOTO.read_bytes(), "/v1/steps", face=5).json()["error"]


def test_modes_are_of_shape_or_of_appearance(client: TestClient) -> None:
    def modes(model: str, **options: str) -> Any:
        return client.get(f"/v1/modes/{model}", params=options).json()

    mean, moved = modes("asm"), modes("asm", weights="2.5")
    assert "picture" not in mean and np.abs(np.subtract(mean["points"], moved["points"])).max() > 5
    plain, other = (modes("aam", kind="appearance", weights=weights) for weights in ("", "2.5"))
    assert plain["picture"] != other["picture"] and other["picture"].startswith("data:image/png")
    for answer in (mean, moved, plain, other):
        assert (np.array(answer["points"]) > 0).all() and (answer["points"] < np.array(answer["size"])).all()
    assert "no modes of appearance" in modes("asm", kind="appearance")["error"]


def test_the_first_stages_alone(client: TestClient) -> None:
    first, last = (
        post(client, PHOTO.read_bytes(), **options).json()["faces"][0]["shape"]["points"]
        for options in ({"stages": 1}, {})
    )
    assert 0.1 < np.abs(np.subtract(first, last)).max() < 20
    assert {row["name"]: row["stages"] for row in client.get("/v1/models").json()}["dan"] == 2
    assert "has 2 stages" in post(client, PHOTO.read_bytes(), stages=3).json()["error"]


@pytest.mark.parametrize(
    ("data", "options", "status", "said"),
    [
        (b"", {}, 422, "empty"),
        (b"no picture", {}, 422, "not a picture"),
        (PHOTO.read_bytes()[:9000], {}, 422, "broken or truncated"),
        (PHOTO.read_bytes(), {"model": "dann"}, 404, "did you mean"),
        (PHOTO.read_bytes(), {"model": "../../etc"}, 404, "no shipped model"),
        (PHOTO.read_bytes(), {"markup": "ibug86"}, 404, "ibug68"),
        (PHOTO.read_bytes(), {"markup": "/etc/x.toml"}, 404, "no mark-up"),
        (PHOTO.read_bytes(), {"min_face": 1}, 422, "min_face: Input should be greater than or equal to 12"),
        (PHOTO.read_bytes(), {"turns": "x", "stages": "y"}, 422, "turns: Input should be 'none', 'auto' or"),
    ],
)
def test_what_is_wrong_is_one_sentence(
    client: TestClient, data: bytes, options: dict[str, Any], status: int, said: str
) -> None:
    answer = post(client, data, **options)
    assert answer.status_code == status and said in answer.json()["error"]


@pytest.mark.parametrize(
    ("method", "path", "status", "said"),
    [
        ("GET", "/v1/nope", 404, "nothing at this address"),
        ("PUT", "/v1/detect", 405, "this address is not asked so"),
        ("POST", "/v1/detect", 422, "send a picture as the field 'image' of a form"),
        ("POST", "/v1/detect/batch", 422, "send a picture as the field 'images' of a form"),
        ("GET", "/v1/models?modle=dan", 422, "no option is called 'modle'"),
        ("POST", "/v1/detect?modle=dan", 422, "no option is called 'modle'; did you mean 'model'?"),
        ("GET", "/v1/detect", 405, "this address is not asked so"),
        ("GET", "/static/nope.js", 404, "nothing at this address"),
    ],
)
def test_what_is_asked_wrongly_is_one_sentence_too(
    client: TestClient, method: str, path: str, status: int, said: str
) -> None:
    answer = client.request(method, path, files={"other": b"x"} if method == "POST" else None)
    assert answer.status_code == status and said in answer.json()["error"]


def test_tables(client: TestClient) -> None:
    assert client.get("/v1/health").json()["status"] == "ok"
    rows = client.get("/v1/models").json()
    assert {"dan", "mtcnn"} <= {row["name"] for row in rows}
    assert [row["name"] for row in rows if row["default"]] == [choice.MODEL]
    kind = client.get("/v1/markups/ibug68").json()
    assert len(kind["points"]) == 68 and "mtfl5" in kind["conversions"]
    assert client.get("/v1/markups/none").status_code == 404
    assert "/v1/detect" in client.get("/v1/openapi.json").json()["paths"]
    assert client.get("/v1/folder").status_code == 404


def test_pages_and_what_browsers_are_told(client: TestClient) -> None:
    for path in ("/", "/compare", "/correct", "/static/look.js", "/static/style.css"):
        answer = client.get(path)
        assert answer.status_code == 200
        policy = answer.headers["content-security-policy"]
        assert "default-src 'none'" in policy and "unsafe" not in policy
        assert answer.headers["x-content-type-options"] == "nosniff"
    assert post(client, PHOTO.read_bytes()).headers["cache-control"] == "no-store"


def test_pages_fetch_nothing_from_elsewhere() -> None:
    import re

    static = ROOT / "src" / "meanshape" / "apps" / "web" / "static"
    for path in static.iterdir():
        found = re.findall(r"https?://[^\s\"'<>]+", path.read_text("utf-8"))
        assert set(found) <= {"http://www.w3.org/2000/svg"}, path.name
        assert " style=" not in path.read_text("utf-8") or path.suffix != ".html", path.name


@pytest.mark.parametrize("path", ["/static/../server.py", "/static/%2e%2e/server.py", "/static//etc/passwd"])
def test_no_file_outside_is_reached(client: TestClient, path: str) -> None:
    assert client.get(path).status_code == 404


def test_pages_of_other_sites_are_refused(client: TestClient) -> None:
    files = {"image": ("x.jpg", b"x")}
    assert (
        client.post("/v1/detect", files=files, headers={"origin": "http://evil.example"}).status_code == 403
    )
    assert client.post("/v1/detect", files=files, headers={"origin": "null"}).status_code == 403
    for site in ("cross-site", "same-site"):
        assert client.post("/v1/detect", files=files, headers={"sec-fetch-site": site}).status_code == 403
    for site in ("same-origin", "none"):
        assert client.post("/v1/detect", files=files, headers={"sec-fetch-site": site}).status_code == 422
    assert client.post("/v1/detect", files=files, headers={"origin": "http://localhost"}).status_code == 422
    assert client.get("/v1/health", headers={"host": "evil.example"}).status_code == 421
    for host in ("localhost:80.evil.example", "localhost:99999999"):
        assert client.get("/v1/health", headers={"host": host}).status_code == 421
    allowed = client.options("/v1/detect", headers={"origin": "http://evil.example"})
    assert "access-control-allow-origin" not in allowed.headers


def test_a_token_is_asked_for() -> None:
    app = create_app(token="secret-token", hosts=())
    with TestClient(app, base_url="http://host.example") as client:
        for headers in ({}, {"authorization": "Bearer wrong"}, {"cookie": "meanshape_token=wrong"}):
            assert client.get("/v1/health", headers=headers).status_code == 401
        good = {"authorization": "Bearer secret-token"}
        assert client.get("/v1/health", headers=good).status_code == 200
        assert client.get("/?token=wrong", follow_redirects=False).status_code == 401
        moved = client.get("/?token=secret-token", follow_redirects=False)
        assert moved.status_code == 303 and "HttpOnly" in moved.headers["set-cookie"]
        assert "secret" not in moved.headers["location"]
        for path in ("//evil.example/", "///evil.example", "/\\evil.example", "//evil.example/%2e%2e"):
            moved = client.get(f"http://host.example{path}?token=secret-token", follow_redirects=False)
            assert urlsplit(moved.headers["location"]).netloc == "", moved.headers["location"]
        assert client.get("/").status_code == 200  # the cookie


def test_answers_leave_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Connections send without delay: with Nagle's, the last part of an answer would wait 40 ms."""
    delayed: list[bool] = []

    async def answer(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connection = writer.get_extra_info("socket")
        delayed.append(not connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY))
        writer.close()

    async def ask_once(listening: socket.socket) -> None:
        async with await asyncio.start_server(answer, sock=listening):
            reader, writer = await asyncio.open_connection(*listening.getsockname())
            await reader.read()
            writer.close()

    def run(self: uvicorn.Server, sockets: list[socket.socket]) -> None:
        asyncio.run(ask_once(sockets[0]))

    monkeypatch.setattr(uvicorn.Server, "run", run)
    serve.run("127.0.0.1", 0, None, {"model": "cpr"}, None, "/")
    assert delayed == [False]
