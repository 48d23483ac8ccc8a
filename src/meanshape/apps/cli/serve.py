"""Start the page and the JSON API."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING, Annotated, Any

import typer

from meanshape.apps.cli import _console as console
from meanshape.apps.cli import _options as options
from meanshape.core.errors import ConfigError, MissingExtra

if TYPE_CHECKING:
    from meanshape.apps.web.folder import Folder
    from meanshape.apps.web.service import Service


app = typer.Typer()
LOOPBACK = ("127.0.0.1", "localhost", "::1")

Host = Annotated[str, typer.Option(help="Where to listen; beyond this machine a token is needed.")]
Port = Annotated[int, typer.Option(min=0, max=65535, help="0: any that is free.")]
Token = Annotated[
    str | None,
    typer.Option(help="What clients must know; one is made where it is needed.", show_default=False),
]


@app.command()
def serve(
    host: Host = "127.0.0.1",
    port: Port = 8080,
    token: Token = None,
    model: options.Model = None,
    licence: options.Licence = "any",
    device: options.Device = None,
    workers: Annotated[int, typer.Option(min=1, help="Requests that are worked on at a time.")] = 2,
    queue: Annotated[int, typer.Option(min=0, help="Requests that wait; the next are told 429.")] = 16,
    timeout: Annotated[float, typer.Option(min=0.1, help="Seconds that a request may take.")] = 30,
) -> None:
    """Start the page and the JSON API; Ctrl-C ends it.

    It listens on this machine alone unless told otherwise. Uploads are never stored.
    """
    defaults = {"model": model, "licence": licence, "device": device}
    run(host, port, token, defaults, None, "/", workers=workers, queue=queue, seconds=timeout)


def run(
    host: str,
    port: int,
    token: str | None,
    defaults: dict[str, Any],
    folder: Folder | None,
    page: str,
    **limits: Any,
) -> None:
    """Serve until Ctrl-C; say first where."""
    from meanshape.apps.web.service import Limits, Service

    if token is not None and len(token) < 8:
        raise ConfigError("a token has at least 8 characters")
    if token is None and host not in LOOPBACK:
        token = secrets.token_urlsafe(16)
    given = {name: value for name, value in defaults.items() if value is not None}
    service = Service(given, Limits(**limits))
    try:
        if folder is None or folder.pipeline is not None:
            service.workers.start()  # its models load while this process imports the server
        _serve(service, host, port, token, folder, page)
    finally:
        service.close()


def _serve(
    service: Service, host: str, port: int, token: str | None, folder: Folder | None, page: str
) -> None:
    """Listen, say where, and answer until Ctrl-C."""
    try:
        from meanshape.apps.web.listening import listen, make_server
        from meanshape.apps.web.server import create_app
    except ImportError as error:
        raise MissingExtra.of("web", "Serving the page") from error
    hosts = LOOPBACK if host in LOOPBACK else ()
    web = create_app(service, token=token, hosts=hosts, folder=folder)
    if folder is None:
        service.workers.wait_until_ready()  # what is wrong with the model is said now
    with listen(host, port) as listening:
        number = listening.getsockname()[1]
        name = f"[{host}]" if ":" in host else host
        ask = "" if token is None else f"?token={token}"
        console.say(f"http://{name}:{number}{page}{ask}  (Ctrl-C ends)", plain=True)
        make_server(web, service.limits).run(sockets=[listening])
