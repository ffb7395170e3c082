"""A small STAR reader and writer for pipeline and job files. Standard library only.

Data tables (particles, micrographs) go through `cryosnake.io.star`; this module exists because every parse of the
Snakefile reads pipeline files, and must not spend time importing pandas.
"""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field

from cryosnake.atomic import write_text
from cryosnake.errors import CryosnakeError
from cryosnake.star_tokens import fields, read_text

_BLANKS = " \t\r\f\v"  # RELION reads bytes: a no-break space is part of a name
# Patterns are compiled when they are needed: every plan and every job imports this module
_NEEDS_QUOTES = r"""(?i)^$|\s|^["'#_;]|^(?:data_|loop_|save_|global_|stop_)"""
_BLANK_AFTER = {'"': r'"\s', "'": r"'\s"}
_VERSION = r"#\s*version\s+(\d+)"

_Lines = list[tuple[int, str]]  # line number, text


@dataclass(frozen=True)
class Block:
    """One table of a STAR file.

    `labels` have no leading underscore. A list block (`_label value` lines) has exactly one row. `version` is the
    number in the comment before the table, 0 where there is none.
    """

    labels: tuple[str, ...]
    rows: list[tuple[str, ...]] = field(default_factory=list)
    is_list: bool = False
    version: int = 0

    def column(self, label: str) -> list[str] | None:
        """Return the values of one column, None if the block has no such column."""
        if label not in self.labels:
            return None
        index = self.labels.index(label)
        return [row[index] for row in self.rows]

    def value(self, label: str) -> str | None:
        """Return the first value of one column, None if there is none."""
        column = self.column(label)
        return column[0] if column else None


def read_blocks(path: str | os.PathLike[str], names: Collection[str] | None = None) -> dict[str, Block]:
    """Read tables of a STAR file.

    Parameters
    ----------
    path
        The file; its name also goes into error messages.
    names
        The blocks to read, without `data_`; all when None. RELION 3.1 writes a block into job.star that it cannot
        read itself (a tab in a value), so skipping blocks is not only faster.

    Returns
    -------
    dict
        Block name without `data_` to its table. Of two blocks with the same name the first counts, as in RELION.

    Raises
    ------
    CryosnakeError
        If the file cannot be read or a row does not fit its labels.
    """
    try:
        text = read_text(path, "surrogateescape")
    except OSError as error:
        raise CryosnakeError(f"{path}: cannot be read: {error.strerror}") from error
    return parse_blocks(text, str(path), names)


def parse_blocks(text: str, source: str = "STAR text", names: Collection[str] | None = None) -> dict[str, Block]:
    """Parse the text of a STAR file; see `read_blocks`."""
    blocks: dict[str, Block] = {}
    for name, version, lines in _split(text, source):
        if name not in blocks and (names is None or name in names):
            blocks[name] = _parse_block(name, version, lines, source)
    return blocks


def _split(text: str, source: str) -> list[tuple[str, int, _Lines]]:
    """Split a file into (block name, version in the comment before it, its numbered lines without comments)."""
    parts: list[tuple[str, int, _Lines]] = []
    version = 0
    for number, line in enumerate(text.split("\n"), start=1):
        content = line.strip(_BLANKS)
        if content.startswith("data_"):
            parts.append((content.split()[0][5:], version, []))
            version = 0
        elif content.startswith("#"):
            match = re.match(_VERSION, content)
            version = int(match.group(1)) if match else version
        elif content:
            if not parts:
                raise CryosnakeError(f"{source}, line {number}: text before the first data_ block; "
                                     "this is not a STAR file")
            parts[-1][2].append((number, content))
    return parts


def _parse_block(name: str, version: int, lines: _Lines, source: str) -> Block:
    labels: list[str] = []
    values: list[str] = []
    rows: list[tuple[str, ...]] = []
    is_loop = False
    for number, content in lines:
        tokens = fields(content, comments=True)
        if not tokens:  # control characters that count as blanks
            continue
        if content.startswith("_") and not rows:
            labels.append(tokens[0][1:])
            if not is_loop:
                if len(tokens) != 2:
                    raise CryosnakeError(f"{source}, line {number}: {tokens[0]} needs exactly one value")
                values.append(tokens[1])
        elif tokens[0] == "loop_" and not labels:
            is_loop = True
        elif len(tokens) != len(labels) or not is_loop:
            raise CryosnakeError(f"{source}, line {number}: {len(tokens)} values in a row of block data_{name}, which "
                                 f"has {len(labels)} columns; correct or restore the file")
        else:
            rows.append(tuple(tokens))
    return Block(tuple(labels), rows if is_loop else [tuple(values)], not is_loop, version)


def format_blocks(blocks: Mapping[str, Block], version: int = 30001) -> str:
    """Return the text of a STAR file in RELION's layout; tables without rows are left out, as RELION does."""
    return "".join(_format_block(name, block, version) for name, block in blocks.items() if block.rows)


def _format_block(name: str, block: Block, version: int) -> str:
    head = f"\n# version {version}\n\ndata_{name}\n\n"
    if block.is_list:
        lines = [f"_{label:<40} {quote(value)}\n" for label, value in zip(block.labels, block.rows[0], strict=True)]
        return head + "".join(lines) + " \n"
    header = "".join(f"_{label} #{index} \n" for index, label in enumerate(block.labels, start=1))
    rows = "".join(" ".join(map(quote, row)) + " \n" for row in block.rows)
    return f"{head}loop_ \n{header}{rows} \n"


def quote(value: str) -> str:
    """Return a value as it must be written in a STAR file.

    Raises
    ------
    CryosnakeError
        If no STAR file that RELION reads can contain it (line breaks; both kinds of quotes, each before a blank).
    """
    if not re.search(_NEEDS_QUOTES, value):
        return value
    if not re.search(r"[\n\r\v\f\x1c-\x1e\x85\u2028\u2029]", value):
        for mark, closing in _BLANK_AFTER.items():
            if not re.search(closing, value):
                return f"{mark}{value}{mark}"
    raise CryosnakeError(f"{value!r} cannot be written to a STAR file; leave out line breaks and mixed quotes")


def write_blocks(path: str | os.PathLike[str], blocks: Mapping[str, Block], version: int = 30001) -> None:
    """Write a STAR file atomically (temporary name in the same folder, fsync, rename)."""
    write_atomically(path, format_blocks(blocks, version))


def write_atomically(path: str | os.PathLike[str], text: str) -> None:
    """Write a text file so that a reader sees either the old or the new content, whatever happens in between."""
    try:
        write_text(path, text, durable=True)
    except OSError as error:
        raise CryosnakeError(f"{path}: cannot be written: {error.strerror}; check space and permissions") from error


def loop(labels: Iterable[str], rows: Iterable[Iterable[str]]) -> Block:
    """Return a loop block of these rows."""
    return Block(tuple(labels), [tuple(row) for row in rows])


def listing(values: Mapping[str, str]) -> Block:
    """Return a list block of these label: value pairs."""
    return Block(tuple(values), [tuple(values.values())], is_list=True)
