"""What of a project has changed on disk: one look a second for everybody who watches it, sent as events."""

from __future__ import annotations

import asyncio
import json
import os
import secrets
from collections.abc import AsyncIterator, Mapping
from pathlib import Path

from cryosnake.names import PIPELINE_FILE, is_job_name
from cryosnake.pipeline.types import type_folders

Stamp = tuple[int, ...]
PROJECT = "project"  # the name under which the files of the whole project stand
_INTERVAL, _QUIET = 1.0, 15.0  # s between two looks; until a word is sent so that no proxy closes the line


def stamp_of_job(root: str | Path, job: str) -> Stamp:
    """Return times and sizes that change when something in a job directory does: files replaced, a log that grows."""
    places = (os.path.join(root, job, name) for name in ("", "run.out", "run.err", "batches"))
    return tuple(part for place in places for part in _stamp(place))


def stamp_of_project(root: str | Path) -> Stamp:
    """Return the same of what is no job's: the pipeline, the config, decisions, who works in it."""
    return tuple(part for name in (PIPELINE_FILE, "config.yaml", "decisions", ".cryosnake")
                 for part in _stamp(os.path.join(root, name)))


def stamps(root: str | Path) -> dict[str, Stamp]:
    """Return the stamps of a project and its jobs by name ("Class2D/job007/")."""
    found = {PROJECT: stamp_of_project(root)}
    for folder in type_folders():
        for job in _names(os.path.join(root, folder)):
            if is_job_name(f"{folder}/{job}/"):
                found[f"{folder}/{job}/"] = stamp_of_job(root, f"{folder}/{job}")
    return found


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
        known = await asyncio.to_thread(stamps, self._root)
        while self._watching:
            await asyncio.sleep(_INTERVAL)
            now = await asyncio.to_thread(stamps, self._root)
            changed, known = differing(known, now), now
            if changed:
                self._count += 1
                text = self._event(changed)
                for queue in self._watching:
                    queue.put_nowait(text)

    def _id(self) -> str:
        return f"{self._run}.{self._count}"

    def _event(self, changed: list[str]) -> str:
        return f"id: {self._id()}\nevent: changed\ndata: {json.dumps(changed)}\n\n"


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
