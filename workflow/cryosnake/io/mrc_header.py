"""The header of an MRC file and the size it implies. Standard library only.

Cheng et al. 2015, J. Struct. Biol. 192, 146 (MRC2014); mode 12 (float16) by CCP-EM; mode 0 and its sign by IMOD.

By hand, not by mrcfile: planning asks for every new movie and imports no NumPy.
"""

from __future__ import annotations

import os
import struct
from dataclasses import dataclass

from cryosnake.errors import CryosnakeError

HEADER_BYTES = 1024
MODE_BITS = {0: 8, 1: 16, 2: 32, 3: 32, 4: 64, 6: 16, 12: 16, 101: 4}
_READ = "modes 0, 1, 2, 6, 12 and 101 are read"
_MOST_PIXELS = 1 << 20  # more along one side means the other byte order
_STAMPS = {b"DD": "<", b"DA": "<", b"\x11\x11": ">"}
_USUAL_AXES = (1, 2, 3)
_IMOD_STAMP = 1146047817


@dataclass(frozen=True, kw_only=True)
class MrcHeader:
    """Contents of a header.

    `pixel_size` is in Å along x, 0.0 when the file does not give it; `extended` is the size of the extended header in
    bytes; `byte_order` is "<" or ">"; `unsigned_bytes` is true for mode 0 files of IMOD with its flag. `axes` are x, y,
    z as 1, 2, 3 in the order of columns, rows and sections.
    """

    nx: int
    ny: int
    nz: int
    mode: int
    pixel_size: float
    extended: int
    byte_order: str
    unsigned_bytes: bool = False
    axes: tuple[int, int, int] = _USUAL_AXES

    @property
    def offset(self) -> int:
        """Bytes before the first pixel."""
        return HEADER_BYTES + self.extended

    @property
    def implied_size(self) -> int:
        """Minimum size in bytes of a complete file."""
        row_bytes = (self.nx * MODE_BITS[self.mode] + 7) // 8
        return self.offset + self.nz * self.ny * row_bytes


def parse_header(data: bytes) -> MrcHeader:
    """Parse the first 1024 bytes of a file.

    Raises
    ------
    ValueError
        With the reason, when they are not the header of an MRC file.
    """
    if len(data) < HEADER_BYTES:
        raise ValueError(f"it has {len(data)} bytes where the header alone has {HEADER_BYTES}")
    order = _byte_order(data)
    nx, ny, nz, mode = struct.unpack_from(f"{order}4i", data)
    axes = struct.unpack_from(f"{order}3i", data, 64)
    (sampling,) = struct.unpack_from(f"{order}i", data, 28)
    (cell,) = struct.unpack_from(f"{order}f", data, 40)
    (extended,) = struct.unpack_from(f"{order}i", data, 92)
    stamp, flags = struct.unpack_from(f"{order}2i", data, 152)
    if extended < 0:
        raise ValueError(f"its extended header has {extended} bytes")
    # A NaN cell compares false and counts as unknown, too.
    pixel_size = cell / sampling if sampling > 0 and 0 < cell < float("inf") else 0.0
    return MrcHeader(nx=nx, ny=ny, nz=nz, mode=mode, pixel_size=pixel_size, extended=extended, byte_order=order,
                     unsigned_bytes=stamp == _IMOD_STAMP and not flags & 1,
                     axes=axes if sorted(axes) == [*_USUAL_AXES] else _USUAL_AXES)


def _byte_order(data: bytes) -> str:
    """Return the order in which sizes and mode make sense; where both do, that of sensible axes, then of the stamp."""
    def sizes(order: str) -> tuple[int, int, int, int]:
        return struct.unpack_from(f"{order}4i", data)

    def rank(order: str) -> tuple[bool, bool, int]:
        nx, ny, nz, _ = sizes(order)
        usual = sorted(struct.unpack_from(f"{order}3i", data, 64)) == [*_USUAL_AXES]
        return usual, _STAMPS.get(data[212:214]) == order, -nx * ny * nz

    possible = [order for order in "<>" if all(0 < side < _MOST_PIXELS for side in sizes(order)[:2])
                and sizes(order)[2] > 0]
    known = [order for order in possible if sizes(order)[3] in MODE_BITS]
    if known:
        return max(known, key=rank)
    nx, ny, nz, mode = sizes(max(possible or "<", key=rank))
    raise ValueError(f"its header is invalid (size {nx} x {ny} x {nz}, mode {mode}"
                     + (f"; {_READ}: convert it, for example with IMOD's newstack -mode 2)" if possible else ")"))


def read_header(path: str | os.PathLike[str]) -> MrcHeader:
    """Read the header of an MRC file.

    Raises
    ------
    CryosnakeError
        When the file is missing or not an MRC file.
    """
    try:
        with open(path, "rb") as file:
            return parse_header(file.read(HEADER_BYTES))
    except OSError as error:
        raise CryosnakeError(f"{path} cannot be read: {error.strerror}. Has the job that makes it been run?") from None
    except ValueError as error:
        raise CryosnakeError(f"{path} is not a complete MRC file: {error}. Copy or make it again.") from None


def check_complete(path: str | os.PathLike[str]) -> MrcHeader:
    """Return the header of a file that is as large as the header implies.

    Raises
    ------
    CryosnakeError
        When the file is smaller than its header implies; also as `read_header`.
    """
    header = read_header(path)
    size = os.path.getsize(path)
    if size < header.implied_size:
        raise CryosnakeError(
            f"{path} is cut off: {size} bytes where its header ({header.nx} x {header.ny} x {header.nz}, mode "
            f"{header.mode}) implies {header.implied_size}. Copy or make it again."
        )
    return header
