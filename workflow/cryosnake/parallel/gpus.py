"""GPUs of a rank, from RELION's notation of `gpu_ids` or automatically. Standard library only."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from cryosnake.errors import CryosnakeError


def idle_gpus(reserved: int, wish: str) -> str:
    """Return a warning where GPUs are reserved for a job that computes on the CPU; `wish` is its option `device`."""
    if not reserved or wish != "auto":
        return ""
    from cryosnake.numerics.backend import why_no_gpu

    reason = why_no_gpu(wish)
    return reason and (f"warning: {reserved} GPU{'s are' if reserved > 1 else ' is'} reserved for this job, which "
                       f"computes on the CPU: {reason}. Install cryosnake[cuda12] or [cuda13] where it runs, or set "
                       "device: cpu, which reserves none.")


def parse_gpu_ids(text: str) -> list[list[int]]:
    """Return the GPUs of each rank: ranks are separated by colons, GPUs of one rank by commas.

    >>> parse_gpu_ids("0,1:2,3")
    [[0, 1], [2, 3]]

    Raises
    ------
    CryosnakeError
        when the text has another form
    """
    try:
        ranks = [[int(number) for number in rank.split(",")] for rank in text.strip().split(":")]
        if any(number < 0 for rank in ranks for number in rank):
            raise ValueError
    except ValueError:
        raise CryosnakeError(f"gpu_ids: {text!r} is not a list of GPUs. Separate numbers by commas, and those of "
                             "different MPI ranks by colons: 0,1 or 0:1 or 0,1:2,3.") from None
    return ranks


def gpus_of_rank(text: str | None, local_rank: int, local_size: int, there: list[str]) -> list[str]:
    """Return the names of the GPUs that a rank may use, out of those that its computer has.

    Parameters
    ----------
    text
        `gpu_ids`; without it the GPUs are dealt out in turn, and a single rank may use all.
    local_rank, local_size
        The rank's number among the ranks of its computer; with more ranks than entries, the entries repeat.
    there
        Numbers or names (CUDA_VISIBLE_DEVICES) of the computer's GPUs.

    Raises
    ------
    CryosnakeError
        when `text` asks for a GPU that does not exist
    """
    if not text:
        if local_size >= len(there):
            return [there[local_rank % len(there)]] if there else []
        return there[local_rank::local_size]
    entries = parse_gpu_ids(text)
    chosen = entries[local_rank % len(entries)]
    missing = [number for number in chosen if number >= len(there)]
    if missing:
        raise CryosnakeError(f"gpu_ids: {text} asks for GPU {missing[0]}, but there are {len(there)} (numbered from 0)"
                             ". nvidia-smi lists them; inside a SLURM job only the job's own GPUs are numbered.")
    return [there[number] for number in chosen]


def visible_gpus(environment: Mapping[str, str] = os.environ, devices: Path = Path("/dev")) -> list[str]:
    """Return the GPUs that this process may use: those in CUDA_VISIBLE_DEVICES, else all of the computer."""
    given = environment.get("CUDA_VISIBLE_DEVICES")
    if given is not None:
        return [name for name in given.split(",") if name and name != "-1"]
    return [str(i) for i in range(len(list(devices.glob("nvidia[0-9]*"))))]
