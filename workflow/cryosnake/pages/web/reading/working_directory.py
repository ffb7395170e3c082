"""A working directory of its own for each thread: a project whose disk hangs must not hold up the others."""

from __future__ import annotations

import contextlib
import ctypes
import os
import threading
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

from cryosnake.errors import CryosnakeError

_CLONE_FS = 0x200  # of unshare(2)
_PATIENCE = 30.0  # s
_of_all = threading.Lock()
_of_folders: defaultdict[Path, threading.Lock] = defaultdict(threading.Lock)
_thread = threading.local()


class SlowDiskError(CryosnakeError):
    """What was asked for takes too long."""


@contextlib.contextmanager
def working_directory(folder: Path) -> Iterator[None]:
    """Work in a folder, one thread at a time in each; where threads can't have their own directory, one in all.

    Raises
    ------
    CryosnakeError
        where the folder is gone or can't be entered, or others have worked in it for too long
    """
    own = _has_own_directory()
    lock = _of_folders[folder] if own else _of_all
    if not lock.acquire(timeout=_PATIENCE):
        raise SlowDiskError(f"{folder}: another page is still being read, for the project's disk is slow")
    try:
        before = "/" if own else os.getcwd()
        try:
            os.chdir(folder)
        except OSError as error:
            raise CryosnakeError(f"{folder}: {error.strerror}. Was it moved, or is its disk not mounted?") from error
        try:
            yield
        finally:
            os.chdir(before)
    finally:
        lock.release()


def _has_own_directory() -> bool:
    if not hasattr(_thread, "own"):
        _thread.own = threading.current_thread() is not threading.main_thread() and _leaves_the_others()
    return bool(_thread.own)


def _leaves_the_others() -> bool:
    """Whether this thread could leave the directory that all threads share: Linux lets it, some containers do not."""
    try:
        return bool(ctypes.CDLL(None).unshare(_CLONE_FS) == 0)
    except (AttributeError, OSError):
        return False
