"""Files that are complete or absent. Standard library only: every layer writes by it."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

from cryosnake.errors import CryosnakeError


@contextlib.contextmanager
def replacing(path: str | os.PathLike[str], *, durable: bool = False) -> Iterator[Path]:
    """Give a temporary name in the folder of `path`; what was written there takes its place when the block ends well.

    The name begins with a dot, ends with `.tmp` and is new, so that no pattern for movies or maps matches it and two
    processes do not share it. After an error the temporary file is removed and `path` is as it was. With `durable` it
    is on the disk before it takes its place, so that a power cut leaves no empty file either.

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
            f"{target} cannot be written: {error.strerror}. Make the folder {target.parent}, free space on its disk, "
            "or mend its permissions."
        ) from None
    try:
        yield temporary
        if durable:
            flush(temporary)
        os.replace(temporary, target)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def flush(path: str | os.PathLike[str]) -> None:
    """Have a file, or the names in a folder, on the disk when this returns."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
