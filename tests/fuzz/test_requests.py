"""Requests that no page of ours sends: an answer below 500 with one sentence, and the server goes on."""

import json

import pytest
from hostile import NASTY, changed, cuts, flips, replaced
from hypothesis import given, settings
from hypothesis import strategies as st

pytest.importorskip("fastapi")
testclient = pytest.importorskip("fastapi.testclient")

from meanshape.apps.web.folder import Folder  # noqa: E402
from meanshape.apps.web.server import create_app  # noqa: E402
from meanshape.apps.web.service import Service  # noqa: E402
from meanshape.core.image import write_image  # noqa: E402
from meanshape.core.markup import markup  # noqa: E402

pytestmark = [  # of uploads that break off, and of a test's own client
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
]
KNOWN = {200, 400, 404, 405, 409, 413, 422}
FACE = {"points": [[n, 2 * n + n % 3] for n in range(5)], "visible": [True, False, True, True, True]}
BODY = {"version": "", "faces": [FACE]}


@pytest.fixture(scope="module")
def client(tmp_path_factory, model_folder):
    import numpy as np

    root = tmp_path_factory.mktemp("folder")
    write_image(root / "a.png", np.full((24, 32, 3), 120, np.uint8))
    service = Service(defaults={"model": str(model_folder), "detector": "whole_image"})
    app = create_app(service, folder=Folder(root, markup("mtfl5")))
    with testclient.TestClient(app, base_url="http://localhost", raise_server_exceptions=True) as made:
        made.root = root
        yield made


def sound(answer):
    """An answer that a page can show."""
    assert answer.status_code in KNOWN, answer.text[:300]
    if answer.status_code != 200:
        told = answer.json()
        assert told.get("error") or told.get("detail")


def picture(client):
    return (client.root / "a.png").read_bytes()


def test_pictures_cut_off_or_changed(client):
    whole = picture(client)
    assert client.post("/v1/detect", files={"image": whole}).status_code == 200
    for data in [*cuts(whole, 12), *flips(whole, 24)]:
        sound(client.post("/v1/detect", files={"image": ("a.png", data)}))


def test_json_with_another_value_in_every_place(client):
    some = [value for value in NASTY if not isinstance(value, str) or len(value) < 99]
    for body in replaced(BODY, some):
        text = json.dumps(body)
        answer = client.put(
            "/v1/folder/label?name=a.png", content=text, headers={"content-type": "application/json"}
        )
        sound(answer)
        (client.root / "labels.jsonl").unlink(missing_ok=True)


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"[" * 100_000,
        b"9" * 5000,
        b'"\\ud800"',
        b"\xff",
        b"\0",
        b'{"version": "", "faces": [' + b"[" * 9999,
    ],
)
def test_json_that_trips_its_parser(client, text):
    headers = {"content-type": "application/json"}
    sound(client.put("/v1/folder/label?name=a.png", content=text, headers=headers))


MULTIPART = (
    b'--b\r\nContent-Disposition: form-data; name="image"; filename="a.png"\r\n'
    b"Content-Type: image/png\r\n\r\n\x89PNG\r\n\x1a\n\r\n--b--\r\n"
)


def test_multipart_cut_off_at_every_byte(client):
    headers = {"content-type": "multipart/form-data; boundary=b"}
    for data in [*cuts(MULTIPART), *flips(MULTIPART, 100)]:
        sound(client.post("/v1/detect", content=data, headers=headers))


@settings(max_examples=40)
@given(changed(MULTIPART), st.sampled_from(["b", "", "é", "b" * 300, '"', "a; boundary=b"]))
def test_multipart_put_together_at_random(client, data, boundary):
    headers = {"content-type": f"multipart/form-data; boundary={boundary}".encode()}
    sound(client.post("/v1/detect", content=data, headers=headers))


@pytest.mark.parametrize("name", ["", "..", "../a.png", "/etc/hosts", "a.png\0", "a" * 5000, "é", "%2e%2e/x"])
def test_names_that_are_no_photos(client, name):
    for path in ("/v1/folder/photo", "/v1/folder/label"):
        answer = client.get(path, params={"name": name})
        assert answer.status_code in (404, 422)
        sound(answer)


@pytest.mark.parametrize("value", ["nan", "inf", "1e308", "-1e308", "", "x", "9" * 400])
def test_boxes_that_are_none(client, value):
    edges = {"left": 1, "top": 1, "right": 20, "bottom": 20}
    for edge in edges:
        sound(client.post("/v1/folder/place", params={"name": "a.png", **edges, edge: value}))


@pytest.mark.parametrize("option", ["model", "markup", "min_face", "max_faces", "session", "time", "emotion"])
def test_options_of_another_kind(client, option):
    for value in ("", "nan", "inf", "-1", "1e999", "x" * 3000, "\0", "../..", "/etc/x.toml", "é", "9" * 5000):
        sound(client.post("/v1/detect", params={option: value}, files={"image": picture(client)}))
