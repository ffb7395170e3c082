"""How STAR text is decoded and a line falls into fields. Standard library only.

One place for both readers: `cryosnake.io.star` (tables of data, with pandas) and `cryosnake.pipeline.star_text` (what
every plan reads, without).
"""

from __future__ import annotations

import os
import re
from pathlib import Path

# A quote closes only where a blank follows it, so that  5'-end  and  "a"b"  are read as STAR has it. RELION reads
# bytes: a no-break space is part of a name.
_BARE = re.compile(r"\S+", re.ASCII)
_CLOSING = {mark: re.compile(rf"{mark}(?=\s|$)", re.ASCII) for mark in "\"'"}


def read_text(path: str | os.PathLike[str], errors: str = "strict") -> str:
    """Return a file's text with line ends of one kind; `errors` as for `bytes.decode`.

    Raises
    ------
    OSError, UnicodeDecodeError
        When there is no file or it holds no text.
    """
    text = Path(path).read_bytes().decode("utf-8", errors)
    return text.replace("\r\n", "\n").replace("\r", "\n") if "\r" in text else text


def fields(line: str, *, comments: bool = False) -> list[str]:
    """Return the fields of a line, without their quotes; with `comments` they end at an unquoted # in front of one."""
    if line.isascii() and '"' not in line and "'" not in line and not (comments and "#" in line):
        return line.split()
    found = []
    unclosed: set[str] = set()  # looked for once in a line, for it may be long
    place = 0
    while field := _BARE.search(line, place):
        mark, start = line[field.start()], field.start() + 1
        if mark in _CLOSING and mark not in unclosed:
            closing = _CLOSING[mark].search(line, start)
            if closing:
                found.append(line[start:closing.start()])
                place = closing.end()
                continue
            unclosed.add(mark)
        if comments and mark == "#":
            break
        found.append(field[0])
        place = field.end()
    return found
