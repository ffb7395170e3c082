"""What of a project has changed on disk: one look a second for everybody who watches it, sent as events."""

from __future__ import annotations

import asyncio
import json
import os
import secrets
import time
from collections.abc import AsyncIterator, Callable, Mapping
from functools import partial
from pathlib import Path
from typing import TypeVar

import anyio
import anyio.to_thread

from cryosnake.names import PIPELINE_FILE, is_job_name
from cryosnake.pipeline.markers import EXIT_FILES
from cryosnake.pipeline.types import type_folders
from cryosnake.project.building.starting import LOG, started_run

Stamp = tuple[int, ...]
T = TypeVar("T")
PROJECT = "project"  # the name under which the files of the whole project stand
_TURNS = 10
_INTERVAL, _QUIET = 1.0, 15.0  # s between two looks; until a word is sent so that no proxy closes the line


def stamp_of_job(root: str | Path, job: str) -> Stamp:
    """Return times and sizes that change when something in a job directory does: files replaced, a log that grows."""
    places = (os.path.join(root, job, name) for name in ("", "run.out", "run.err", "batches"))
    return tuple(part for place in places for part in _stamp(place))


def stamp_of_project(root: str | Path) -> Stamp:
    """Return the same of what is no job's: the pipeline, the config, decisions, who works in it, a run that ended."""
    names = (PIPELINE_FILE, "config.yaml", "decisions", ".cryosnake", LOG)
    run = started_run(Path(root))  # its process ends after the last file that it writes
    return (*(part for name in names for part in _stamp(os.path.join(root, name))), int(bool(run and run.lives)))


def stamps(root: str | Path) -> dict[str, Stamp]:
    """Return the stamps of a project and its jobs by name ("Class2D/job007/")."""
    return {PROJECT: stamp_of_project(root)} | {job: stamp_of_job(root, job) for job in job_names(root)}


class Watch:
    """Looks at a project again and again, at as few files as will do: most jobs have ended.

    A job that ended keeps its files, or gets them anew under their names, which its directory's time tells. Its other
    files are looked at in turn, a tenth of the jobs at a time.
    """

    def __init__(self, root: Path) -> None:
        self._root, self._turn = root, 0
        self._known = stamps(root)
        self._ended = {job for job in self._known if job != PROJECT and _has_ended(root, job)}

    def look(self) -> list[str]:
        """Return the names of what has changed since the last look."""
        self._turn = (self._turn + 1) % _TURNS
        now = {PROJECT: stamp_of_project(self._root)}
        for place, job in enumerate(job_names(self._root)):
            known = self._known.get(job)
            if known and job in self._ended and place % _TURNS != self._turn and known[:2] == _stamp(
                    os.path.join(self._root, job)):
                now[job] = known
                continue
            now[job] = stamp_of_job(self._root, job)
            if now[job] != known:
                (self._ended.add if _has_ended(self._root, job) else self._ended.discard)(job)
        changed, self._known = differing(self._known, now), now
        return changed


def job_names(root: str | Path) -> list[str]:
    """Return the job directories of a project ("Class2D/job007/")."""
    names = (f"{folder}/{job}/" for folder in type_folders() for job in _names(os.path.join(root, folder)))
    return [name for name in names if is_job_name(name)]


def differing(old: Mapping[str, Stamp], new: Mapping[str, Stamp]) -> list[str]:
    """Return the names of what was added, changed or removed."""
    return sorted(name for name in old.keys() | new.keys() if old.get(name) != new.get(name))


class Changes:
    """The events of one project. Nobody looks while nobody watches."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._run, self._count = secrets.token_hex(4), 0
        self._watching: set[asyncio.Queue[str]] = set()
        self._poller: asyncio.Task[None] | None = None

    async def follow(self, seen: str) -> AsyncIterator[str]:
        """Yield events as text; who has `seen` another one last is told to look at everything again."""
        queue: asyncio.Queue[str] = asyncio.Queue()
        self._watching.add(queue)
        if self._poller is None or self._poller.done():
            self._poller = asyncio.create_task(self._poll())
        try:
            yield "retry: 2000\n\n"
            if seen and seen != self._id():
                yield self._event(["*"])
            while True:
                try:
                    yield await asyncio.wait_for(queue.get(), _QUIET)
                except TimeoutError:
                    yield ": quiet\n\n"
        finally:
            self._watching.discard(queue)

    async def _poll(self) -> None:
        watch, took = await _in_own_thread(partial(Watch, self._root)), 0.0
        while self._watching:
            await asyncio.sleep(max(_INTERVAL, took))  # a slow disk gets as much rest as work
            began = time.monotonic()
            changed = await _in_own_thread(watch.look)
            took = time.monotonic() - began
            if changed:
                self._count += 1
                text = self._event(changed)
                for queue in self._watching:
                    queue.put_nowait(text)

    def _id(self) -> str:
        return f"{self._run}.{self._count}"

    def _event(self, changed: list[str]) -> str:
        return f"id: {self._id()}\nevent: changed\ndata: {json.dumps(changed)}\n\n"


async def _in_own_thread(work: Callable[[], T]) -> T:
    """Return what some work returns; where its disk hangs, nobody else waits, nor the end of the server."""
    return await anyio.to_thread.run_sync(work, abandon_on_cancel=True,
                                          limiter=anyio.CapacityLimiter(1))


def _has_ended(root: str | Path, job: str) -> bool:
    return any(os.path.exists(os.path.join(root, job, name)) for name in EXIT_FILES.values())


def _stamp(path: str) -> Stamp:
    try:
        found = os.stat(path)
    except OSError:
        return (0, 0)
    return (found.st_mtime_ns, found.st_size)


def _names(folder: str | Path) -> list[str]:
    try:
        return os.listdir(folder)
    except OSError:
        return []
