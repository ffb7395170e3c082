"""One watcher for each project: `.cryosnake/watch.json` says which process it is, and is locked while it lives."""

from __future__ import annotations

import fcntl
import getpass
import json
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any, TextIO

from cryosnake.atomic import own_file
from cryosnake.errors import CryosnakeError
from cryosnake.json_files import read_json
from cryosnake.processes import read_process, this_process

CLAIM = Path(".cryosnake", "watch.json")


def watcher() -> dict[str, Any] | None:
    """Return host, pid, user and start of the project's living watcher, None when there is none."""
    owner = _read()
    process = read_process(owner)
    return owner if process and process.lives() else None


@contextmanager
def only_watcher() -> Iterator[dict[str, Any]]:
    """Make this process the project's watcher inside the `with` block.

    Raises
    ------
    CryosnakeError
        when the project already has one, which the message names
    """
    with _claim_file() as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise _refusal(_read() or {}) from None
        except OSError:
            pass  # a file system without locks: the claim alone has to do
        other = watcher()
        if other and other["pid"] != os.getpid():
            raise _refusal(other)
        owner = {**asdict(this_process()), "user": _user(), "since": time.time()}
        file.truncate(0)
        file.write(json.dumps(owner))
        file.flush()
        try:
            yield owner
        finally:
            file.truncate(0)


def _claim_file() -> TextIO:
    """Open the claim, which may belong to another user.

    Raises
    ------
    CryosnakeError
        when this user can't write it
    """
    try:
        CLAIM.parent.mkdir(exist_ok=True)
        return open(CLAIM, "a+", opener=own_file)
    except OSError as error:
        other = watcher()
        raise _refusal(other) if other else CryosnakeError(
            f"{CLAIM} can't be written ({error.strerror}): watching needs write permission") from None


def describe_watcher(owner: dict[str, Any]) -> str:
    """Return "process 4711 of anna on scope1"."""
    return f"process {owner.get('pid', '?')} of {owner.get('user', '?')} on {owner.get('host', '?')}"


def _refusal(owner: dict[str, Any]) -> CryosnakeError:
    return CryosnakeError(f"this project is already watched, by {describe_watcher(owner)}. watch_status.txt says what "
                          f"it is doing. To stop it, make its stop file, or `kill {owner.get('pid', 'PID')}` there; if "
                          f"that computer no longer exists, delete {CLAIM}")


def _read() -> dict[str, Any] | None:
    try:
        owner = read_json(CLAIM)
    except (OSError, ValueError):
        return None
    return owner if read_process(owner) else None


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a number without a name, as in containers
        return str(os.getuid())
