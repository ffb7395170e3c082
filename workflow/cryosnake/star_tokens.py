"""How STAR text is decoded and a line falls into fields. Standard library only.

One place for both readers: `cryosnake.io.star` (tables of data, with pandas) and `cryosnake.pipeline.star_text` (what
every plan reads, without).
"""

from __future__ import annotations

import codecs
import os
import re
from pathlib import Path

# A quote closes only where a blank follows it, so that  5'-end  and  "a"b"  are read as STAR has it. RELION reads
# bytes: a no-break space is part of a name.
_WORD = re.compile(r"\S+", re.ASCII)
_CLOSING = {quote: rf"{quote}(?=\s|$)" for quote in "\"'"}  # compiled when used: every plan imports this module


_BINARY = rb"[\x00-\x08\x0e-\x1f]"
_MARK = "\ufeff"  # editors on Windows begin a file with it; files joined by `cat` have it further down


def read_text(path: str | os.PathLike[str], errors: str = "") -> str:
    """Return a file's text, without byte order marks and with line ends of one kind.

    `errors` as for `bytes.decode`; without it, text that is not UTF-8 is read as Latin-1, or UTF-16 where its byte
    order mark says so.

    Raises
    ------
    OSError, UnicodeDecodeError
        When there is no file or it holds no text.
    """
    text = _decoded(Path(path).read_bytes(), errors)
    text = text.replace(_MARK, "") if _MARK in text else text
    return text.replace("\r\n", "\n").replace("\r", "\n") if "\r" in text else text


def _decoded(data: bytes, errors: str) -> str:
    if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return data.decode("utf-16", errors or "strict")
    try:
        return data.decode("utf-8", errors or "strict")
    except UnicodeDecodeError:
        if re.search(_BINARY, data):
            raise
        return data.decode("latin-1")


def fields(line: str, *, comments: bool = False) -> list[str]:
    """Return the fields of a line, without their quotes; with `comments` they end at an unquoted # in front of one."""
    if line.isascii() and '"' not in line and "'" not in line and not (comments and "#" in line):
        return line.split()
    found, at = [], 0
    # Where the last quote closes: none after it is looked for, or a row of unclosed ones took time by its square
    last = {quote: max((end.start() for end in re.finditer(closing, line, re.ASCII)), default=-1)
            for quote, closing in _CLOSING.items() if quote in line}
    while word := _WORD.search(line, at):
        start, text, at = word.start(), word[0], word.end()
        if last.get(text[0], -1) > start:
            end = re.compile(_CLOSING[text[0]], re.ASCII).search(line, start + 1)
            at = end.end() if end else at
            text = line[start + 1:at - 1]
        elif comments and text.startswith("#"):
            break
        found.append(text)
    return found
