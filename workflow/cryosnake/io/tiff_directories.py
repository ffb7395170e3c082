"""Directories of a TIFF, BigTIFF or EER file: the places of each frame's pixels. Standard library only.

Parsed by hand, not with tifffile: planning checks every new movie and imports no NumPy. TIFF revision 6.0 (Adobe 1992),
section 2, and the BigTIFF extension; EER is a BigTIFF with codecs of its own.
"""

from __future__ import annotations

import math
import os
import re
import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from typing import BinaryIO

_TYPE_CODES = {1: "B", 3: "H", 4: "I", 13: "I", 16: "Q", 18: "Q"}
_WIDTH, _HEIGHT, _BITS, _COMPRESSION, _ROWS_PER_STRIP = 256, 257, 258, 259, 278
_OFFSETS, _COUNTS = (273, 324), (279, 325)  # of strips, of tiles
_DESCRIPTION = 270
_EER_BITS = (65007, 65008, 65009)  # skip, horizontal, vertical
_WANTED = {_WIDTH, _HEIGHT, _BITS, _COMPRESSION, _ROWS_PER_STRIP, *_OFFSETS, *_COUNTS, *_EER_BITS}
# The number of frames by ImageJ, and the shape by tifffile
_IMAGES = r'(?m)^ImageJ=[^\0]*?^images=(\d{1,9})|^\{"shape": \[([\d, ]+)\]'
_MOST_ENTRIES, _MOST_VALUES = 4096, 10_000_000  # more is a corrupt file, not a large one
# Pixels that a byte can hold at most: LZW, deflate, run lengths of EER and of PackBits; any other codec
_RUNS, _MOST_PER_BYTE, _MOST_PER_BYTE_ELSE = {5, 8, 32773, 32946, 65000, 65001, 65002}, 2048, 1 << 17


@dataclass(frozen=True, kw_only=True)
class Directory:
    """One frame: its size in pixels, its codec, and (offset, bytes) of its strips.

    `eer_bits` are the bits of skip, horizontal and vertical sub-pixel of EER files that give them, else empty.
    """

    width: int
    height: int
    compression: int
    strips: tuple[tuple[int, int], ...]
    eer_bits: tuple[int, ...] = ()
    bits: int = 1
    rows_per_strip: int = 0  # 0: it has tiles, or does not say
    description: str = ""

    @property
    def end(self) -> int:
        """The byte after the last strip."""
        return max(offset + count for offset, count in self.strips)

    @property
    def is_possible(self) -> bool:
        """Whether its strips can hold so many pixels; a reader makes room for them before it sees the strips."""
        pixels, stored = self.width * self.height, sum(count for _, count in self.strips)
        if self.rows_per_strip and len(self.strips) < -(-self.height // self.rows_per_strip):
            return False
        if self.compression == 1:
            return pixels * self.bits <= stored * 8
        return pixels <= stored * (_MOST_PER_BYTE if self.compression in _RUNS else _MOST_PER_BYTE_ELSE)


def frames_behind(path: str | os.PathLike[str]) -> int:
    """Return the number of frames of a file in which they follow one another and have one directory; 0 for others.

    ImageJ writes stacks beyond 4 GB like that, with the number in the description; other programs may.

    Raises
    ------
    OSError
        When there is no such file.
    ValueError, struct.error
        When it is cut off or corrupt, or has room for more frames than its description states.
    """
    with open(path, "rb") as file:
        return stacked(list(islice(directories(file), 2)), os.fstat(file.fileno()).st_size)


def stacked(found: Sequence[Directory], size: int) -> int:
    """Return `frames_behind` of the first directories of a file of `size` bytes."""
    if len(found) != 1 or found[0].compression != 1:
        return 0
    frame = found[0].width * found[0].height * found[0].bits // 8
    start = found[0].strips[0][0]
    count = _stated_frames(found[0])
    if count > 1 and start + count * frame > size:
        raise ValueError(f"its description states {count} frames, and it has room for {(size - start) // frame}")
    if count <= 1 and frame and size - found[0].end >= frame:
        raise ValueError(f"it has a directory of one frame and {size - found[0].end} bytes behind it, which may be "
                         "more frames: write it anew with a directory for each, as with IMOD's tif2mrc and mrc2tif")
    return count if count > 1 else 0


def _stated_frames(first: Directory) -> int:
    stated = re.search(_IMAGES, first.description)
    if not stated or stated[1]:
        return int(stated[1]) if stated else 1
    *others, height, width = (0, *map(int, re.findall(r"\d{1,9}", stated[2])))
    return math.prod(others[1:]) if (height, width) == (first.height, first.width) else 1


def directories(file: BinaryIO) -> Iterator[Directory]:
    """Yield the directories in the order of the file.

    Parameters
    ----------
    file
        Open for reading in binary mode.

    Raises
    ------
    ValueError, struct.error
        When the file is cut off or corrupt from here; what was yielded before is valid.
    """
    file.seek(0)
    head = file.read(8)
    order = {b"II": "<", b"MM": ">"}.get(head[:2])
    if order is None:
        raise ValueError("it does not start like a TIFF file")
    (version,) = struct.unpack_from(order + "H", head, 2)
    if version not in (42, 43):
        raise ValueError(f"its TIFF version is {version}")
    layout = _Layout(order, "Q", "Q", 8) if version == 43 else _Layout(order, "I", "H", 4)
    file.seek(layout.size)
    (position,) = _unpack(file, order + layout.word)
    seen: set[int] = set()
    while position:
        if position in seen:
            raise ValueError("its directories form a loop")
        seen.add(position)
        file.seek(position)
        (entries,) = _unpack(file, order + layout.number)
        if entries > _MOST_ENTRIES:
            raise ValueError(f"a directory has {entries} entries")
        # One read for the whole directory and the pointer that follows it: EER files have thousands of frames.
        table = file.read(entries * layout.entry_bytes + layout.size)
        (position,) = struct.unpack_from(order + layout.word, table, entries * layout.entry_bytes)
        found = _directory(_tags(file, layout, table, entries))
        first = len(seen) == 1 and found.compression == 1
        yield replace(found, description=_description(file, layout, table)) if first else found


@dataclass(frozen=True)
class _Layout:
    """The differences of TIFF and BigTIFF: formats of numbers in the file, as codes of `struct`."""

    order: str
    word: str  # a pointer, or the number of values of an entry
    number: str  # of entries in a directory
    size: int  # bytes of a word, of the space for values in an entry, and before the first pointer

    @property
    def entry_bytes(self) -> int:
        return 4 + 2 * self.size


def _description(file: BinaryIO, layout: _Layout, table: bytes) -> str:
    for start in range(0, len(table) - layout.size, layout.entry_bytes):
        tag, _, count = struct.unpack_from(f"{layout.order}2H{layout.word}", table, start)
        if tag == _DESCRIPTION:
            place = table[start + layout.entry_bytes - layout.size : start + layout.entry_bytes]
            if count <= layout.size:
                return place[:count].decode("latin-1")
            file.seek(struct.unpack(layout.order + layout.word, place)[0])
            return file.read(min(count, _MOST_ENTRIES)).decode("latin-1")
    return ""


def _tags(file: BinaryIO, layout: _Layout, table: bytes, entries: int) -> dict[int, tuple[int, ...]]:
    tags: dict[int, tuple[int, ...]] = {}
    for start in range(0, entries * layout.entry_bytes, layout.entry_bytes):
        (tag,) = struct.unpack_from(layout.order + "H", table, start)
        if tag in _WANTED:
            tags[tag] = _values(file, layout, table[start : start + layout.entry_bytes])
    return tags


def _values(file: BinaryIO, layout: _Layout, entry: bytes) -> tuple[int, ...]:
    """Return the numbers of an entry; they are in the entry itself when they fit, otherwise elsewhere."""
    kind, count = struct.unpack_from(f"{layout.order}H{layout.word}", entry, 2)
    if kind not in _TYPE_CODES or not 0 < count <= _MOST_VALUES:
        raise ValueError(f"a directory entry has {count} values of type {kind}")
    code = f"{layout.order}{count}{_TYPE_CODES[kind]}"
    start = len(entry) - layout.size
    if struct.calcsize(code) <= layout.size:
        return struct.unpack_from(code, entry, start)
    file.seek(struct.unpack_from(layout.order + layout.word, entry, start)[0])
    return _unpack(file, code)


def _directory(tags: dict[int, tuple[int, ...]]) -> Directory:
    offsets = next((tags[tag] for tag in _OFFSETS if tag in tags), ())
    counts = next((tags[tag] for tag in _COUNTS if tag in tags), ())
    if not offsets or len(offsets) != len(counts) or not all(offsets) or not all(counts):
        raise ValueError("a directory points to no pixels")
    if _WIDTH not in tags or _HEIGHT not in tags:
        raise ValueError("a directory has no image size")
    return Directory(width=tags[_WIDTH][0], height=tags[_HEIGHT][0], compression=tags.get(_COMPRESSION, (1,))[0],
                     strips=tuple(zip(offsets, counts, strict=True)), bits=tags.get(_BITS, (1,))[0],
                     rows_per_strip=tags.get(_ROWS_PER_STRIP, (0,))[0] if _OFFSETS[0] in tags else 0,
                     eer_bits=tuple(tags[tag][0] for tag in _EER_BITS if tag in tags))


def _unpack(file: BinaryIO, code: str) -> tuple[int, ...]:
    return struct.unpack(code, file.read(struct.calcsize(code)))
