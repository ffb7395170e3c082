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
_TOKEN = re.compile(r"""(?<!\S)(?:"(.*?)"|'(.*?)')(?=\s|$)|(\S+)""", re.ASCII)


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
    for double, single, bare in _TOKEN.findall(line):
        if comments and bare.startswith("#"):
            break
        found.append(double or single or bare)
    return found
