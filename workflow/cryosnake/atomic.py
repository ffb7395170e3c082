"""Files that are complete or absent. Standard library only, because every layer writes through it."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

from cryosnake.errors import CryosnakeError


@contextlib.contextmanager
def replacing(path: str | os.PathLike[str], *, durable: bool = False) -> Iterator[Path]:
    """Yield a temporary name in the folder of `path`; the file written there replaces `path` if the block succeeds.

    The name starts with a dot, ends with `.tmp` and is unique, so that no pattern for movies or maps matches it and no
    two processes share it. After an error the temporary file is removed and `path` is unchanged. With `durable` the
    file is flushed to disk before the rename, so that a power cut does not leave an empty file either.

    Raises
    ------
    CryosnakeError
        When the folder does not exist or cannot be written to.
    """
    target = Path(path)
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
