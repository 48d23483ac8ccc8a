"""Start the page and the JSON API."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING, Annotated, Any

import typer

from meanshape.apps.cli import _console as console
from meanshape.apps.cli import _options as options
from meanshape.core.errors import ConfigError, MissingExtra, OutputError

if TYPE_CHECKING:
    from meanshape.apps.web.folder import Folder


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
    workers: Annotated[int, typer.Option(min=1, help="Requests that are worked on at a time.")] = 2,
    queue: Annotated[int, typer.Option(min=0, help="Requests that wait; the next are told 429.")] = 16,
    timeout: Annotated[float, typer.Option(min=0.1, help="Seconds that a request may take.")] = 30,
) -> None:
    """Start the page and the JSON API; Ctrl-C ends it.

    It listens on this machine alone unless told otherwise. Uploads are never stored.
    """
    defaults = {"model": model, "licence": licence}
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
    import socket

    try:
        import uvicorn

        from meanshape.apps.web.server import create_app
        from meanshape.apps.web.service import Limits, Service
    except ImportError as error:
        raise MissingExtra.of("web", "Serving the page") from error
    if token is not None and len(token) < 8:
        raise ConfigError("a token has at least 8 characters")
    if token is None and host not in LOOPBACK:
        token = secrets.token_urlsafe(16)
    given = {name: value for name, value in defaults.items() if value is not None}
    service = Service(given, Limits(**limits))
    service.pipeline()  # what is wrong with the model is said now
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # TCP by name: only then asyncio sends each part of an answer at once; else the last waits 40 ms (Nagle)
    with socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP) as listening:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listening.bind((host, port))
        except (OSError, OverflowError) as error:
            raise OutputError(f"cannot listen on {host}:{port} ({error}); try --port 0") from error
        listening.listen(128)  # who asks as soon as the address is printed waits, and is not refused
        number = listening.getsockname()[1]
        name = f"[{host}]" if ":" in host else host
        ask = "" if token is None else f"?token={token}"
        console.say(f"http://{name}:{number}{page}{ask}  (Ctrl-C ends)", plain=True)
        hosts = LOOPBACK if host in LOOPBACK else ()
        web = create_app(service, token=token, hosts=hosts, folder=folder)
        config = uvicorn.Config(web, log_level="warning", access_log=False, server_header=False)
        uvicorn.Server(config).run(sockets=[listening])
