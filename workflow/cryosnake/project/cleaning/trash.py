"""Move files to `Trash/` and back. Files are removed only when they are complete at their new place.

`Trash` may be a link to, or the mount point of, another disk: files that cannot be renamed are copied under a temporary
name, flushed, renamed, and only then removed from the old place. Every move can be repeated after a crash: files that
have already moved are skipped. Links are moved as links and never followed.
"""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Iterable
from pathlib import Path

from cryosnake.atomic import flush, replacing
from cryosnake.errors import CryosnakeError
from cryosnake.names import TRASH, is_below

_NO_RENAME = (errno.EXDEV, errno.ENOTEMPTY, errno.EEXIST)


def in_trash(path: str) -> str:
    """Return the path that a file or directory of the project has in the Trash.

    Raises
    ------
    CryosnakeError
        When a link in the Trash leads out of it.
    """
    if not is_below(TRASH, path):
        raise CryosnakeError(f"{TRASH}/{path} is not in the Trash: a link on the way leads out of it; remove the link")
    return f"{TRASH}/{path}"


def room_in_trash(path: str) -> str:
    """Return the path that a job directory has in the Trash, for files to be moved to.

    A link there, of a job that its owner had moved elsewhere, is put aside: the files would go where it leads.
    """
    target = in_trash(path)
    if os.path.islink(target):
        os.rename(target, free_name(target))
    return target


def free_name(path: str) -> str:
    """Return a path with .old1, .old2, … that does not exist."""
    number = 1
    while os.path.lexists(f"{path}.old{number}"):
        number += 1
    return f"{path}.old{number}"


def on_another_disk(path: str, other: str) -> bool:
    """Return whether a file or directory is on another disk than the folder `other`."""
    _make_folder(other)
    try:
        return os.stat(other).st_dev != os.lstat(path).st_dev
    except FileNotFoundError:
        return False


def move_files(files: Iterable[str], source: str, target: str) -> int:
    """Move files, given relative to the folder `source`, to the same places below `target`; return their number.

    Files that do not exist are skipped; a file of the same name at the target is replaced.

    Raises
    ------
    CryosnakeError
        When a file cannot be moved, or is not below its folder; those before it have moved, it and those after it have
        not.
    """
    made: set[str] = set()
    moved = 0
    for file in files:
        start, end = f"{source}/{file}", f"{target}/{file}"
        folder = os.path.dirname(end)
        if folder not in made:
            if not (is_below(source, file) and is_below(target, file)):
                raise CryosnakeError(f"{start} could not be moved to {end}: one of them is outside of its folder, by "
                                     "`..` or a link; remove the link")
            _make_folder(folder)
            made.add(folder)
        try:
            _move_file(start, end)
            moved += 1
        except FileNotFoundError:
            continue
        except OSError as error:
            raise _explained(error, start, target) from error
    return moved


def move_tree(source: str, target: str) -> None:
    """Move a directory, or the rest of it, to `target`; if that exists, the contents are added to it.

    Raises
    ------
    CryosnakeError
        When something cannot be moved; the same call continues from there.
    """
    if not os.path.lexists(source):
        return
    _make_folder(os.path.dirname(target))
    if not os.path.lexists(target):
        try:
            os.rename(source, target)
            return
        except OSError as error:
            if error.errno not in _NO_RENAME:
                raise _explained(error, source, target) from error
    files, folders = contents(source)
    for folder in ["", *folders]:
        _make_folder(os.path.join(target, folder) if folder else target)
    move_files(files, source, target)
    remove_empty_folders(source, folders)
    try:
        os.rmdir(source)
    except OSError as error:
        raise _explained(error, source, target) from error


def move_link(source: str, target: str) -> None:
    """Move a link; the new one leads to the same folder, relative if the old one was."""
    text = os.readlink(source)
    _make_folder(os.path.dirname(target))
    if not os.path.isabs(text):
        text = os.path.relpath(os.path.realpath(source), os.path.realpath(os.path.dirname(target)))
    with replacing(target) as temporary:
        temporary.unlink()
        temporary.symlink_to(text)
    os.unlink(source)


def contents(folder: str) -> tuple[list[str], list[str]]:
    """Return the files (links included) and the folders below a folder, relative to it, each sorted."""
    files: list[str] = []
    folders: list[str] = []
    for where, names, found in os.walk(folder):
        below = os.path.relpath(where, folder)
        prefix = "" if below == "." else f"{below}/"
        links = [name for name in names if os.path.islink(f"{where}/{name}")]
        files += [prefix + name for name in (*found, *links)]
        folders += [prefix + name for name in names if name not in links]
    return sorted(files), sorted(folders)


def remove_empty_folders(folder: str, below: Iterable[str]) -> None:
    """Remove those of the folders `below` (relative to `folder`) that are empty, the deepest first."""
    for name in sorted(below, key=lambda name: name.count("/"), reverse=True):
        try:
            os.rmdir(f"{folder}/{name}")
        except OSError:
            continue


def _move_file(start: str, end: str) -> None:
    try:
        os.rename(start, end)
    except OSError as error:
        if error.errno != errno.EXDEV:
            raise
        _copy_then_remove(start, end)


def _copy_then_remove(start: str, end: str) -> None:
    """Move a file to another disk: complete and flushed there before it is removed here; its times are kept."""
    temporary = f"{os.path.dirname(end)}/.{os.path.basename(end)}.{os.urandom(4).hex()}.tmp"
    try:
        shutil.copy2(start, temporary, follow_symlinks=False)
        if not os.path.islink(temporary):
            flush(temporary)
            if os.stat(temporary).st_size != os.stat(start).st_size:
                raise OSError(errno.EIO, "the copy has a different size", start)
        os.replace(temporary, end)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
    os.unlink(start)


def _make_folder(folder: str) -> None:
    try:
        os.makedirs(folder, exist_ok=True)
    except OSError as error:
        raise _explained(error, folder, folder) from error


def _explained(error: OSError, path: str, target: str) -> CryosnakeError:
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        remedy = (f"the disk of {target.partition('/')[0]} is full ({error.strerror}): free some space (`cryosnake "
                  "empty-trash` if it is the Trash's) and run the same command; it then continues, nothing is lost")
    elif error.errno in (errno.EACCES, errno.EPERM):
        remedy = f"{error.strerror}: it belongs to another user, or its folder is not writable; ask its owner"
    else:
        remedy = f"{error.strerror}; fix this and run the same command, which then continues"
    return CryosnakeError(f"{path} could not be moved to {target}: {remedy}")
