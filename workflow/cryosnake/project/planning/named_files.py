"""A look at files that a config names: whether they exist, and what their first bytes say that they are.

Each is opened once in a process, as long as its size and time stay the same; of a STAR file the first 64 KB are read,
of an image its header.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import stat
import struct
import sys
from dataclasses import dataclass
from functools import lru_cache
from typing import BinaryIO

from cryosnake.io.completeness import MRC_NAMES, TIFF_NAMES
from cryosnake.io.mrc_header import HEADER_BYTES, parse_header
from cryosnake.io.tiff_directories import directories
from cryosnake.jobs.kinds.files import FileKind, Format

HEAD = 1 << 16  # bytes at the start of a STAR file that contain a data_ line, and the optics table
_TIFF_STARTS = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
_ZIP = b"PK\3\4"
_UTF16_STARTS = (b"\xff\xfe", b"\xfe\xff")
_DATA = re.compile(rb"^[ \t]*data_", re.MULTILINE)
_TIFF_LIKE = (*TIFF_NAMES, ".gain")


@dataclass(frozen=True, kw_only=True)
class Look:
    """What a file is: its format ("" for another one), or why it is of no use; of images (width, height) in px."""

    format: str = ""
    problem: str = ""
    size: tuple[int, int] | None = None


def look_at(path: str) -> Look:
    """Return what a file is."""
    try:
        status = os.stat(path)
    except OSError as error:
        return Look(problem=_why_missing(path, error))
    if not stat.S_ISREG(status.st_mode):
        return Look(problem="is a folder" if stat.S_ISDIR(status.st_mode) else "is no regular file")
    return _opened(path, status.st_size, status.st_mtime_ns)


def file_problem(path: str, kind: FileKind) -> str:
    """Return why a file can't be what the config takes it for, "" if nothing speaks against it."""
    if Format.PROGRAM in kind.formats:
        return _program_problem(path)
    found, name = look_at(path), path.lower()
    if found.problem:
        return found.problem
    if kind.endings and not name.endswith(kind.endings):
        return f"is of a kind that is not read: its name must end with {', '.join(kind.endings)}; convert it"
    if not kind.formats:
        return ""
    if found.format not in kind.formats and not (found.format == Format.STAR and Format.TEXT in kind.formats):
        return f"is {found.format or 'of another format'}, not {' or '.join(kind.formats)}"
    if found.size and name.endswith(MRC_NAMES if found.format == Format.TIFF else _TIFF_LIKE):
        return f"is {found.format} by its contents; rename it accordingly"
    return ""


def _why_missing(path: str, error: OSError) -> str:
    if os.path.islink(path):
        return f"is a link to {os.readlink(path)}, which can't be reached ({error.strerror})"
    if not isinstance(error, FileNotFoundError):
        return f"can't be read ({error.strerror})"
    folder = os.path.dirname(path) or "."
    return f"does not exist{_nearest_file(path, folder) if os.path.isdir(folder) else f' (nor its folder {folder})'}"


def _nearest_file(path: str, folder: str) -> str:
    import difflib  # imported here: needed only for a misspelt name

    try:
        close = difflib.get_close_matches(os.path.basename(path), os.listdir(folder), 1, 0.6)
    except OSError:
        return ""
    return f"; did you mean {os.path.join(os.path.dirname(path), close[0])}?" if close else ""


def _program_problem(command: str) -> str:
    try:
        words = shlex.split(command)
    except ValueError as error:
        return f"is no command line ({error})"
    if not words:
        return "is empty"
    paths = os.pathsep.join(filter(None, [os.path.dirname(sys.executable), os.environ.get("PATH")]))  # as jobs have it
    if shutil.which(words[0], path=paths):
        return ""
    if "/" not in words[0]:
        return "is not on the PATH; give its path, relative to the project or absolute"
    return "can't be executed; chmod +x" if os.path.exists(words[0]) else f"does not exist: {words[0]}"


@lru_cache(maxsize=256)
def _opened(path: str, size: int, mtime_ns: int) -> Look:
    """Return what a file is; the time only says which file it was."""
    if size == 0:
        return Look(problem="is empty")
    try:
        with open(path, "rb") as file:
            return _look(file, size)
    except OSError as error:
        return Look(problem=f"can't be read ({error.strerror})")


def _look(file: BinaryIO, size: int) -> Look:
    start = file.read(HEADER_BYTES)
    if start.startswith(_TIFF_STARTS):
        try:
            first = next(iter(directories(file)))
        except (struct.error, ValueError, StopIteration) as error:
            return Look(format=Format.TIFF, problem=f"is cut off or corrupt ({error})")
        return Look(format=Format.TIFF, size=(first.width, first.height))
    if start.startswith(_UTF16_STARTS) or b"\0" not in start:
        text = (start + file.read(HEAD)).replace(b"\0", b"").removeprefix(b"\xef\xbb\xbf").lstrip(b"\xff\xfe")
        return Look(format=Format.STAR if _DATA.search(text.replace(b"\r", b"\n")) else Format.TEXT)
    if start.startswith(_ZIP):
        return Look(format=Format.ARRAYS)
    try:
        header = parse_header(start)
    except ValueError:
        return Look()
    if size < header.implied_size:
        return Look(problem=f"is cut off: {size} bytes where its header implies {header.implied_size}")
    form = (Format.MRC_IMAGE if header.nz == 1 else
            Format.MRC_VOLUME if header.nx == header.ny == header.nz else Format.MRC_STACK)
    return Look(format=form, size=(header.nx, header.ny))
