"""Files that are complete or absent, and written nowhere else. Standard library only: every layer writes through it."""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Iterator
from pathlib import Path

from cryosnake.errors import CryosnakeError

_OURS = (".cryosnake", "batches")  # folders of bookkeeping, of a project and of a job


@contextlib.contextmanager
def replacing(path: str | os.PathLike[str], *, durable: bool = False) -> Iterator[Path]:
    """Yield a temporary name in the folder of `path`; the file written there replaces `path` if the block succeeds.

    The name starts with a dot, ends with `.tmp` and is unique, so that no pattern for movies or maps matches it and no
    two processes share it. After an error the temporary file is removed and `path` is unchanged. With `durable` the
    file is flushed to disk before the rename, so that a power cut does not leave an empty file either.

    Raises
    ------
    CryosnakeError
        When the folder does not exist or cannot be written to, or is one of ours and a link.
    """
    target = Path(path)
    _refuse_linked_folder(path)
    temporary = target.with_name(f".{target.name}.{os.urandom(6).hex()}.tmp")
    try:
        temporary.touch(exist_ok=False)
    except OSError as error:
        raise CryosnakeError(
            f"{target} cannot be written: {error.strerror}. Make the folder {target.parent}, free some space on its "
            "disk, or fix its permissions."
        ) from error
    try:
        yield temporary
        if durable:
            flush(temporary)
        os.replace(temporary, target)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def own_file(path: str | os.PathLike[str], flags: int) -> int:
    """Open a file in place, as `open(path, "a", opener=own_file)`: never through a link, which may lead to others.

    Raises
    ------
    CryosnakeError
        When the file, or the folder of bookkeeping in which it is, is a link.
    """
    _refuse_linked_folder(path)
    try:
        return os.open(path, flags | os.O_NOFOLLOW, 0o666)
    except OSError as error:
        if error.errno in (errno.ELOOP, errno.EISDIR) and os.path.islink(path):
            raise _leads_elsewhere(os.fspath(path)) from None
        raise


def touch(path: str | os.PathLike[str]) -> None:
    """Make an empty file, or give one that exists the present time; not through a link, as `own_file`."""
    descriptor = own_file(path, os.O_WRONLY | os.O_CREAT)
    try:
        os.utime(descriptor)
    finally:
        os.close(descriptor)


def _refuse_linked_folder(path: str | os.PathLike[str]) -> None:
    folder = os.path.dirname(path)
    if os.path.basename(folder) in _OURS and os.path.islink(folder):
        raise _leads_elsewhere(folder)


def _leads_elsewhere(path: str) -> CryosnakeError:
    return CryosnakeError(f"{path} is a link to {os.path.realpath(path)}, which may belong to others, where a file or "
                          "folder of the project's own is expected; remove the link")


def write_text(path: str | os.PathLike[str], text: str, *, durable: bool = False) -> None:
    """Write a text file by `replacing`: in UTF-8, bytes that are not (in names of files) as they were read."""
    with replacing(path, durable=durable) as temporary:
        temporary.write_text(text, encoding="utf-8", errors="surrogateescape")


def flush(path: str | os.PathLike[str]) -> None:
    """Flush a file, or the names in a folder, to disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
