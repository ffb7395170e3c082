"""`cryosnake web`: the dashboard, in the browser; `cryosnake view`: one file in it."""

from __future__ import annotations

import os
import socket
from pathlib import Path

from cryosnake.cli.commands import Arguments, Commands, add_command
from cryosnake.errors import CryosnakeError


def register(commands: Commands) -> None:
    """Add the commands of this module."""
    web = add_command(commands, "web", _web, help="show projects in the browser, live, from this machine only")
    web.add_argument("roots", nargs="*", type=Path, metavar="FOLDER",
                     help="projects, or folders that hold projects (default: here)")
    web.add_argument("--port", type=int, default=0, metavar="N", help="default: one that is free")
    web.add_argument("--edit", action="store_true", help="let the pages write decisions; without it they only show")
    web.add_argument("--public-url", default="", metavar="URL",
                     help="the address of a reverse proxy on this machine, such as https://host/prefix")
    view = add_command(commands, "view", _view, help="show a table, image, stack, map or text of a project in the "
                       "browser, as RELION's display does")
    view.add_argument("file", type=Path, metavar="FILE")
    view.add_argument("--port", type=int, default=0, metavar="N", help="default: one that is free")


def _view(arguments: Arguments) -> None:
    from cryosnake.pages.web.reading.projects import address_of_file  # late, as the server

    folder, page = address_of_file(arguments.file)
    _serve([folder], arguments.port, page=page)


def _web(arguments: Arguments) -> None:
    roots = arguments.roots or [Path()]
    missing = [str(root) for root in roots if not root.is_dir()]
    if missing:
        raise CryosnakeError(f"{', '.join(missing)}: there is no such folder")
    if arguments.public_url and not arguments.public_url.startswith(("https://", "http://")):
        raise CryosnakeError(f"--public-url {arguments.public_url}: write it as https://host/prefix")
    _serve(roots, arguments.port, public=arguments.public_url, edit=arguments.edit)


def _serve(roots: list[Path], chosen_port: int, *, public: str = "", edit: bool = False, page: str = "") -> None:
    try:
        from cryosnake.pages.web.server import serve  # late: for no other command
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] not in ("starlette", "uvicorn"):
            raise
        raise CryosnakeError("the dashboard needs the extra `web`: pip install 'cryosnake[web]'") from error

    def ready(port: int, token: str) -> None:
        address = public.rstrip("/") or f"http://127.0.0.1:{port}"
        print(f"{address}/{page}?token={token}", flush=True)
        if not public:
            print(f"from another machine: ssh -L {port}:127.0.0.1:{port} {os.environ.get('USER', 'you')}@"
                  f"{socket.gethostname()}, then the same address there. Ctrl-C ends it.", flush=True)

    serve(roots, chosen_port, public=public, edit=edit, ready=ready)
