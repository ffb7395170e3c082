"""Answers within seconds: projects are read beside the server's loop, and who waits too long for a disk is told so."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Awaitable, Callable
from functools import partial, wraps
from typing import TypeVar

import anyio
import anyio.to_thread
from starlette.requests import Request
from starlette.responses import Response

from cryosnake.pages.web.reading.working_directory import SlowDiskError

PAGE, PICTURE = 15.0, 60.0  # s; who looks at a movie of a slow disk knows why it takes long
_MOST_AT_ONCE = 24  # threads that may wait for one project's disk: several people with six connections each

T = TypeVar("T")
_at_work: Counter[str] = Counter()  # by project
_counting = threading.Lock()


def patient(endpoint: Callable[[Request], Response]) -> Callable[[Request], Awaitable[Response]]:
    """Return an endpoint that answers in time, whatever the disk does."""
    @wraps(endpoint)
    async def answered(request: Request) -> Response:
        seconds = PICTURE if "/image/" in request.url.path or "/file/" in request.url.path else PAGE
        return await patiently(seconds, request.path_params.get("project", ""), partial(endpoint, request))
    return answered


async def patiently(seconds: float, project: str, work: Callable[[], T]) -> T:
    """Return what some work on a project in a thread returns; what has not ended in time goes on unheard.

    Raises
    ------
    SlowDiskError
        after so many seconds, or at once where too many wait for this project already
    """
    try:
        with anyio.fail_after(seconds):
            while _at_work[project] >= _MOST_AT_ONCE:
                await anyio.sleep(0.05)
            return await anyio.to_thread.run_sync(partial(_counted, project, work),
                                                  abandon_on_cancel=True, limiter=anyio.CapacityLimiter(1))
    except TimeoutError:
        raise SlowDiskError("This takes long: the project's disk is slow, or does not answer. The server goes on "
                            "reading, and this page tries again by itself; other projects are not affected. What you "
                            "sent may still be done: look before you send it again") from None


def _counted(project: str, work: Callable[[], T]) -> T:
    _count(project, 1)
    try:
        return work()
    finally:
        _count(project, -1)


def _count(project: str, change: int) -> None:
    with _counting:
        _at_work[project] += change
