"""Files that are complete or absent. Standard library only."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

from cryosnake.errors import CryosnakeError


@contextlib.contextmanager
def replacing(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Give a temporary name in the folder of `path`; what was written there takes its place when the block ends well.

    The name begins with a dot, ends with `.tmp` and is new, so that no pattern for movies or maps matches it and two
    processes do not share it. After an error the temporary file is removed and `path` is as it was.

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
        os.replace(temporary, target)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
