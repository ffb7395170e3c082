"""Rank 0 reads the images for all ranks and sends them: for file systems that many readers slow down."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from cryosnake.errors import CryosnakeError
from cryosnake.parallel.stacks import Images
from cryosnake.parallel.transfer import parts

_REQUEST, _ANSWER = 1, 2
_PAUSE = 1e-3  # seconds; answers take longer than that


@contextmanager
def sent_images(mpi: Any, comm: Any, source: Images | None, check_stop: Callable[[], None]) -> Iterator[Images]:
    """Yield rank 0's own source on rank 0, and on the others a source that asks rank 0; all ranks call this together.

    Parameters
    ----------
    mpi, comm
        The MPI module and the ranks.
    source
        Rank 0's images; may be called by a second thread.
    check_stop
        Raises when another rank stops.

    Raises
    ------
    CryosnakeError
        when the MPI library does not support calls from two threads
    """
    if mpi.Query_thread() < mpi.THREAD_MULTIPLE:
        raise CryosnakeError("parallel_io: false needs an MPI library with MPI_THREAD_MULTIPLE, which this one "
                             "does not offer. Set parallel_io: true.")
    own = comm.Dup()
    if comm.rank > 0:
        yield lambda rows: _ask(own, rows, check_stop)
        return
    assert source is not None
    stop = threading.Event()
    server = threading.Thread(target=_serve, args=(mpi, own, source, stop), name="images")
    server.start()
    try:
        yield source
    finally:
        stop.set()
        server.join()


def _ask(comm: Any, rows: np.ndarray, check_stop: Callable[[], None]) -> np.ndarray:
    comm.send(rows, dest=0, tag=_REQUEST)
    while (message := comm.improbe(source=0, tag=_ANSWER)) is None:
        check_stop()
        time.sleep(_PAUSE)
    answer = message.recv()
    if isinstance(answer, str):
        raise CryosnakeError(answer)
    images = np.empty(answer, np.float32)
    for part in parts(images.reshape(-1)):
        comm.Recv(part, source=0, tag=_ANSWER)
    return images


def _serve(mpi: Any, comm: Any, source: Images, stop: threading.Event) -> None:
    while not stop.is_set():
        message = comm.improbe(tag=_REQUEST)
        if message is None:
            time.sleep(_PAUSE)
            continue
        status = mpi.Status()
        rows = message.recv(status=status)
        asker = status.Get_source()
        images: np.ndarray | None = None
        answer: Any
        try:
            images = source(rows)
            answer = images.shape
        except Exception as error:  # sent to the rank that asked, which then raises it
            answer = str(error)
        requests = [comm.isend(answer, dest=asker, tag=_ANSWER)]
        if images is not None:
            requests += [comm.Isend(part, dest=asker, tag=_ANSWER) for part in parts(images.reshape(-1))]
        while not stop.is_set() and not mpi.Request.Testall(requests):
            time.sleep(_PAUSE / 10)
