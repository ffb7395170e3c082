"""Stamps of files: size, time and signature as text, and whether a file is still the one that was recorded.

A copy, an archive, another computer's clock, or a program that writes the same again change a file's time, not what it
contains. So sizes are compared first; the signature, for which the file is read, only where the time alone differs.
"""

from __future__ import annotations

import os

from cryosnake.digests import digest


def stamp(path: str) -> str:
    """Return "size:mtime_ns" of a file, or "" when it does not exist."""
    try:
        status = os.stat(path)
    except OSError:
        return ""
    return f"{status.st_size}:{status.st_mtime_ns}"


def signed_stamp(path: str) -> str:
    """Return "size:mtime_ns:signature" of a file, or "" when it can't be read; the file is read for it."""
    try:
        return f"{stamp(path)}:{digest(path)}"
    except OSError:
        return ""


def unsigned(recorded: str) -> str:
    """Return one or several recorded stamps, as they are without their signatures."""
    return " ".join(":".join(text.split(":")[:2]) for text in recorded.split(" "))


def is_same_file(recorded: str, path: str) -> bool:
    """Whether a file has the contents with which its stamp was recorded.

    A stamp of an earlier version has no signature: then the same size is enough.
    """
    now = stamp(path)
    if recorded == now or (now and recorded.startswith(f"{now}:")):
        return True
    size, _, rest = recorded.partition(":")
    if not now or size != now.partition(":")[0]:
        return False
    signature = rest.partition(":")[2]
    try:
        return not signature or digest(path) == signature
    except OSError:
        return False
