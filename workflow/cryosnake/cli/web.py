"""`cryosnake web`: the dashboard, in the browser."""

from __future__ import annotations

import os
import socket
from pathlib import Path

from cryosnake.cli.commands import Arguments, Commands, add_command
from cryosnake.errors import CryosnakeError


def register(commands: Commands) -> None:
    """Add the command of this module."""
    web = add_command(commands, "web", _web, help="show projects in the browser, live, from this machine only")
    web.add_argument("roots", nargs="*", type=Path, metavar="FOLDER",
                     help="projects, or folders that hold projects (default: here)")
    web.add_argument("--port", type=int, default=0, metavar="N", help="default: one that is free")
    web.add_argument("--edit", action="store_true", help="let the pages write decisions; without it they only show")
    web.add_argument("--public-url", default="", metavar="URL",
                     help="the address of a reverse proxy on this machine, such as https://host/prefix")


def _web(arguments: Arguments) -> None:
    roots = arguments.roots or [Path()]
    missing = [str(root) for root in roots if not root.is_dir()]
    if missing:
        raise CryosnakeError(f"{', '.join(missing)}: there is no such folder")
    if arguments.public_url and not arguments.public_url.startswith(("https://", "http://")):
        raise CryosnakeError(f"--public-url {arguments.public_url}: write it as https://host/prefix")
    try:
        from cryosnake.pages.web.server import serve  # late: for no other command
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] not in ("starlette", "uvicorn"):
            raise
        raise CryosnakeError("the dashboard needs the extra `web`: pip install 'cryosnake[web]'") from error

    def ready(port: int, token: str) -> None:
        address = arguments.public_url.rstrip("/") or f"http://127.0.0.1:{port}"
        print(f"{address}/?token={token}", flush=True)
        if not arguments.public_url:
            print(f"from another machine: ssh -L {port}:127.0.0.1:{port} {os.environ.get('USER', 'you')}@"
                  f"{socket.gethostname()}, then the same address there. Ctrl-C ends it.", flush=True)

    serve(roots, arguments.port, public=arguments.public_url, edit=arguments.edit, ready=ready)
