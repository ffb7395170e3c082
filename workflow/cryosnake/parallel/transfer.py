"""Sums, objects and arrays of any size between MPI ranks; MPI limits a message to 2^31 items.

All ranks of the communicator call these functions together and complete them: nothing here waits for computation.
"""

from __future__ import annotations

import pickle
from typing import Any

import numpy as np

CHUNK = 1 << 26  # bytes of one message
_TAG = 7


def parts(*arrays: np.ndarray) -> list[np.ndarray]:
    """Return views of flat arrays, each of at most `CHUNK` bytes."""
    return [array[begin : begin + CHUNK // array.itemsize] for array in arrays
            for begin in range(0, array.size, CHUNK // array.itemsize)]


def add_up(mpi: Any, comm: Any, array: np.ndarray | None) -> np.ndarray | None:
    """Return the sum of the arrays on rank 0, in its own array if it passed one; None on the others."""
    kinds = [kind for kind in comm.allgather(None if array is None else (array.shape, array.dtype.str)) if kind]
    if not kinds:
        return None
    if any(kind != kinds[0] for kind in kinds):
        raise ValueError(f"the ranks' arrays differ: {sorted(set(kinds))}")
    shape, code = kinds[0]
    if comm.rank == 0 and array is None:
        array = np.zeros(shape, code)
    flat = None if array is None else np.ascontiguousarray(array).reshape(-1)
    items, count = CHUNK // np.dtype(code).itemsize, int(np.prod(shape))
    nothing = np.zeros(min(items, count) if flat is None else 0, code)
    for begin in range(0, count, items):
        size = min(items, count - begin)
        part = nothing[:size] if flat is None else flat[begin : begin + size]
        if comm.rank == 0:
            comm.Reduce(mpi.IN_PLACE, part, mpi.SUM, root=0)
        else:
            comm.Reduce(part, None, mpi.SUM, root=0)
    return flat.reshape(shape) if comm.rank == 0 and flat is not None else None


def broadcast(comm: Any, value: Any) -> Any:
    """Return rank 0's value on all ranks."""
    if comm.size == 1:
        return value
    packed, buffers = _packed(value) if comm.rank == 0 else (None, [])
    head, sizes = comm.bcast(packed, root=0)
    if comm.rank != 0:
        buffers = [np.empty(size, np.uint8) for size in sizes]
    for part in parts(*buffers):
        comm.Bcast(part, root=0)
    return value if comm.rank == 0 else pickle.loads(head, buffers=buffers)


def gather(comm: Any, value: Any) -> list[Any]:
    """Return all ranks' values on rank 0, in order; an empty list on the others."""
    if comm.rank != 0:
        packed, buffers = _packed(value)
        comm.send(packed, dest=0, tag=_TAG)
        for part in parts(*buffers):
            comm.Send(part, dest=0, tag=_TAG)
        return []
    return [value, *(_received(comm, source) for source in range(1, comm.size))]


def _received(comm: Any, source: int) -> Any:
    head, sizes = comm.recv(source=source, tag=_TAG)
    buffers = [np.empty(size, np.uint8) for size in sizes]
    for part in parts(*buffers):
        comm.Recv(part, source=source, tag=_TAG)
    return pickle.loads(head, buffers=buffers)


def _packed(value: Any) -> tuple[tuple[bytes, list[int]], list[np.ndarray]]:
    """Return a pickle with the sizes of its arrays, and separately their memory as bytes."""
    pieces: list[pickle.PickleBuffer] = []
    head = pickle.dumps(value, protocol=5, buffer_callback=pieces.append)
    buffers = [np.frombuffer(piece.raw(), np.uint8) for piece in pieces]
    return (head, [buffer.nbytes for buffer in buffers]), buffers
