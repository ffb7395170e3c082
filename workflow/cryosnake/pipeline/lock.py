"""RELION's project lock, so that RELION, Snakemake's jobs and `cryosnake` never write the pipeline at the same time.

The mutex is RELION's: whoever creates the directory `.relion_lock` holds the lock. It contains one file, which RELION
expects under the name `lock_default_pipeline.star`; we write our identity into it, so that a lock whose owner was
killed can be distinguished from one in use. RELION writes no owner, hence its locks are only explained,
never broken, except for a directory that stays without a file, which only a kill leaves.
"""

from __future__ import annotations

import fcntl
import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict
from pathlib import Path

from cryosnake.errors import CryosnakeError
from cryosnake.human import human_age
from cryosnake.names import PIPELINE_FILE
from cryosnake.pipeline.files import is_hybrid, labels_missing, parse_pipeline, write_pipeline
from cryosnake.pipeline.model import Pipeline
from cryosnake.pipeline.rebuild import job_directories, rebuild, restore_labels
from cryosnake.pipeline.recover import is_cut, recovered
from cryosnake.pipeline.star_text import read_blocks
from cryosnake.processes import read_process, text_of, this_process

LOCK_DIRECTORY = ".relion_lock"
LOCK_FILE = "lock_default_pipeline.star"
DEFAULT_TIMEOUT = 60.0  # seconds; RELION itself waits 60 to 120
_OWN = "cryosnake"
_LONGEST_PAUSE = 0.25  # seconds between attempts; RELION tries every 3
_LONGEST_UNSIGNED = 5.0  # seconds; whoever makes the directory, RELION too, puts a file into it at once


def update_pipeline(project: str | os.PathLike[str], function: Callable[[Pipeline], Pipeline],
                    timeout: float = DEFAULT_TIMEOUT) -> Pipeline:
    """Lock, read, apply a function, write.

    A hybrid file is left alone when the function returns the same object that it was given; one that RELION
    stripped of a dialect is always made hybrid again, and one that was cut off is had again from its copies.

    Parameters
    ----------
    project
        The project directory. A project without default_pipeline.star gets one, unless it has job directories.
    function
        Takes the present pipeline and returns the new one; keep it short, others wait.
    timeout
        Seconds to wait for the lock.

    Returns
    -------
    Pipeline
        What is now on disk.

    Raises
    ------
    CryosnakeError
        If the lock cannot be acquired, or the file cannot be read or written. The file is then unchanged.
    """
    path = Path(project, PIPELINE_FILE)
    with pipeline_lock(project, timeout):
        exists = path.exists()
        cut = is_cut(project)
        blocks = read_blocks(path) if exists and not cut else {}
        before = recovered(project) if cut else parse_pipeline(blocks, path) if exists else _first_pipeline(project)
        if cut:
            print(f"{path} was cut off, as by a power cut; it is had again from its copies in the job directories: "
                  f"{len(before.processes)} jobs", file=sys.stderr)
        if labels_missing(blocks):
            before = restore_labels(project, before)
        after = function(before)
        if after is not before or not is_hybrid(blocks):
            write_pipeline(path, after)
    return after


def rebuild_pipeline(project: str | os.PathLike[str], warnings: list[str] | None = None,
                     timeout: float = DEFAULT_TIMEOUT) -> Pipeline:
    """Replace default_pipeline.star by one derived from the job directories; see `rebuild.rebuild`."""
    with pipeline_lock(project, timeout):
        pipeline = rebuild(project, warnings)
        write_pipeline(Path(project, PIPELINE_FILE), pipeline)
    return pipeline


@contextmanager
def pipeline_lock(project: str | os.PathLike[str], timeout: float = DEFAULT_TIMEOUT) -> Iterator[None]:
    """Hold RELION's lock of a project.

    Parameters
    ----------
    project
        The project directory.
    timeout
        Seconds after which to give up.

    Raises
    ------
    CryosnakeError
        If the lock is still held after `timeout` (the message says by whom, and what to do), or the folder is not
        writable.
    """
    lock = Path(project, LOCK_DIRECTORY)
    deadline = time.monotonic() + timeout
    pause, unsigned, since = 0.005, 0, 0.0
    while not _acquire(lock):
        if _break_if_stale(lock):
            continue
        if (now := _unsigned(lock)) != unsigned:
            unsigned, since = now, time.monotonic()
        elif unsigned and time.monotonic() - since > _LONGEST_UNSIGNED:
            _break_unsigned(lock)
        if time.monotonic() >= deadline:
            raise CryosnakeError(_explanation(lock, timeout))
        time.sleep(pause * (0.5 + os.urandom(1)[0] / 256))  # jitter: waiting writers must not retry in step
        pause = min(2 * pause, _LONGEST_PAUSE)
    try:
        yield
    finally:
        _release(lock)


def foreign_lock(project: str | os.PathLike[str]) -> bool:
    """Return whether another program, such as RELION, holds the lock (or one of ours that has yet to sign it)."""
    lock = Path(project, LOCK_DIRECTORY)
    return _fields(text_of(str(lock / LOCK_FILE))).get("program") != _OWN and lock.exists()


def _acquire(lock: Path) -> bool:
    try:
        os.mkdir(lock, 0o755)  # RELION uses 0700; here others may read who holds it
    except FileExistsError:
        return False
    except OSError as error:
        raise CryosnakeError(f"{lock.parent}: the project cannot be locked for writing: {error.strerror}; check that "
                             "the folder exists, is writable and has space") from error
    try:
        (lock / LOCK_FILE).write_text(_own_identity(), encoding="utf-8")
    except BaseException:
        _release(lock)
        raise
    return True


def _unsigned(lock: Path) -> int:
    """Return the inode of a lock without a file, which a kill just after it was made has left; 0 for any other."""
    try:
        return 0 if os.listdir(lock) else lock.stat().st_ino
    except OSError:
        return 0


def _break_unsigned(lock: Path) -> None:
    with suppress(OSError):  # it is signed by now, or free
        os.rmdir(lock)


def _release(lock: Path) -> None:
    # One rename frees the lock in one step: a kill before the removal leaves a harmless directory, not a lock.
    aside = lock.with_name(f"{LOCK_DIRECTORY}.released.{os.getpid()}.{os.urandom(4).hex()}")
    try:
        os.rename(lock, aside)
    except FileNotFoundError:  # it was removed by hand; nothing is left to free
        return
    _remove(aside)


def remove_stale_locks(project: str | os.PathLike[str]) -> None:
    """Remove locks that killed programs of ours left: complete, which stops RELION, unsigned, or being released."""
    lock = Path(project, LOCK_DIRECTORY)
    _break_if_stale(lock)
    unsigned, deadline = _unsigned(lock), time.monotonic() + _LONGEST_UNSIGNED
    while unsigned and _unsigned(lock) == unsigned and time.monotonic() < deadline:
        time.sleep(_LONGEST_PAUSE)
    if unsigned and _unsigned(lock) == unsigned:
        _break_unsigned(lock)
    for aside in Path(project).glob(f"{LOCK_DIRECTORY}.released.*"):
        _remove(aside)


def _remove(aside: Path) -> None:
    with suppress(OSError):  # two processes may do it at the same time
        (aside / LOCK_FILE).unlink(missing_ok=True)
        os.rmdir(aside)


def _break_if_stale(lock: Path) -> bool:
    """Free a lock whose owner is a cryosnake process of this machine that no longer runs; return whether it was freed.

    The flock ensures that only one of several processes that see the same stale lock frees it, and never a new lock.
    """
    path = lock / LOCK_FILE
    try:
        with open(path, "r+", encoding="utf-8", errors="replace") as file:
            owner = _fields(file.read())
            if not _is_gone(owner):
                return False
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if os.fstat(file.fileno()).st_ino != os.stat(path).st_ino:
                return False
            for half_written in lock.parent.glob(f".{PIPELINE_FILE}.*.tmp"):  # only the holder of the lock writes one
                half_written.unlink(missing_ok=True)
            _release(lock)
            return True
    except OSError:  # freed in the meantime, or being freed by another process
        return False


def _own_identity() -> str:
    own = asdict(this_process())
    identity = {"program": _OWN, "command": Path(sys.argv[0]).name or "python", **own, "user": _user(os.getuid()),
                "time": time.strftime("%Y-%m-%dT%H:%M:%S")}
    return " ".join(f"{key}={str(value).replace(' ', '_')}" for key, value in identity.items()) + "\n"


def _fields(text: str) -> dict[str, str]:
    return dict(pair.split("=", 1) for pair in text.split() if "=" in pair)


def _is_gone(owner: dict[str, str]) -> bool:
    """Return whether the owner certainly no longer runs; in doubt, False."""
    process = read_process(owner)
    return owner.get("program") == _OWN and process is not None and not process.lives()


def _explanation(lock: Path, timeout: float) -> str:
    owner = _fields(text_of(str(lock / LOCK_FILE)))
    waited = f"{lock}: the project stayed locked for the {timeout:g} s that this program waited"
    remove = f"rm -r {lock}"
    if owner.get("program") == _OWN:
        who = (f"{_OWN} ({owner.get('command')}, process {owner.get('pid')} of {owner.get('user', 'somebody')} on "
               f"{owner.get('host')}, since {owner.get('time')})")
        return f"{waited}, by {who}. Wait for it; if that process no longer runs, remove the lock with `{remove}`"
    age = ""
    with suppress(OSError):
        status = lock.stat()
        age = f", made by {_user(status.st_uid)}, {human_age(status.st_mtime)}"
    return (f"{waited}, by RELION or another program that does not write its name{age}. RELION needs it only for an "
            "instant, so an old one was left by a crash: if no RELION program is running in this project, remove it "
            f"with `{remove}`")


def _user(number: int) -> str:
    import pwd

    try:
        return pwd.getpwuid(number).pw_name
    except KeyError:
        return f"user {number}"


def _first_pipeline(project: str | os.PathLike[str]) -> Pipeline:
    for name in job_directories(project):
        raise CryosnakeError(f"{Path(project, PIPELINE_FILE)}: is missing, though {name} exists; `cryosnake "
                             "rebuild-pipeline` derives it from the job directories")
    return Pipeline()
