"""Starting the dashboard on this machine's own address."""

from __future__ import annotations

import socket
from collections.abc import Callable, Sequence
from pathlib import Path

import uvicorn

from cryosnake.errors import CryosnakeError
from cryosnake.pages.web.app import application
from cryosnake.pages.web.serving.guard import new_access

_CLOSING = 1  # s that pages which listen to events get when the server ends


def serve(roots: Sequence[Path], port: int, *, public: str = "", edit: bool = False,
          ready: Callable[[int, str], None]) -> None:
    """Serve the projects below some folders on the loopback address until interrupted.

    Parameters
    ----------
    port
        0 for any free one.
    public
        The address of a reverse proxy, "" without one.
    ready
        Is called with the port and the token, as soon as the port is ours.

    Raises
    ------
    CryosnakeError
        where the port is taken
    """
    with _listening(port) as listener:
        port = listener.getsockname()[1]
        access = new_access(port, public=public, edit=edit)
        config = uvicorn.Config(application(roots, access), log_level="warning", access_log=False, server_header=False,
                                proxy_headers=False, timeout_graceful_shutdown=_CLOSING, lifespan="off")
        ready(port, access.token)
        uvicorn.Server(config).run([listener])


def _listening(port: int) -> socket.socket:
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind(("127.0.0.1", port))
        listener.listen(128)  # here: who reads the address may come before the server has begun
    except (OSError, OverflowError) as error:
        listener.close()
        raise CryosnakeError(f"port {port} can't be had ({error}); leave --port out: then a free one is taken") \
            from error
    return listener
