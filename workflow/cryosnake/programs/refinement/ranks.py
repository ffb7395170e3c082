"""The expectation step of sets of particles, shared among the ranks; the results come together on rank 0."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import fields
from pathlib import Path

import numpy as np

from cryosnake.numerics.backend import to_numpy
from cryosnake.parallel.ranks import Ranks, SingleRank
from cryosnake.programs.refinement.estep import Accumulated
from cryosnake.programs.refinement.particles import Particles
from cryosnake.programs.refinement.state import Assignments

ADDED = ("noise", "counts", "offset_power", "direction")  # small sums over the particles
EACH = ("cross", "power", "residual")  # per particle
Work = Callable[[int, np.ndarray, Callable[[int], None]], Accumulated]


def expect_on_ranks(particles: Particles, sets: Sequence[np.ndarray], state: Assignments, work: Work,
                    report: Callable[[int], None]) -> list[Accumulated]:
    """Return what the expectation step gathered over each set of particles on rank 0; an empty list on the others.

    Sets (the half sets of Refine3D) go to different ranks where these can be dealt out evenly, otherwise every rank
    works on a part of each. One rank alone works on one set after the other.

    Parameters
    ----------
    particles : Particles
        With their ranks, and how these combine their sums.
    sets : sequence of (n,) int
        Rows of each set.
    state : Assignments
        Updated in place; complete on rank 0.
    work : callable
        work(number, positions, report) runs `expect` over the positions (m,) of a set, `sets[number][positions]`.
        What it returns has the sums of all threads in one: (1, …).
    report : callable
        Called with the number of particles done, of all ranks as far as this one can tell.
    """
    ranks = particles.ranks
    mine = [share_of(ranks, number, len(sets), len(rows)) for number, rows in enumerate(sets)]
    total, own = sum(map(len, sets)), max(sum(map(len, mine)), 1)
    done, found = 0, []
    for number, positions in enumerate(mine):

        def told(count: int, before: int = done) -> None:
            ranks.look()
            report(round((before + count) / own * total))

        gathered = None
        if len(positions):
            gathered = work(number, positions, told)
        found.append(gathered)
        done += len(positions)
    if isinstance(ranks, SingleRank):
        return [gathered for gathered in found if gathered is not None]
    results = []
    for rows, positions, gathered in zip(sets, mine, found, strict=True):
        combined = _combined(ranks, rows, positions, state, gathered, particles.combine_in)
        results += [] if combined is None else [combined]
    return results


def share_of(ranks: Ranks, number: int, sets: int, count: int) -> np.ndarray:
    """Return the positions (m,) of set `number` (of `sets`, with `count` particles) that this rank works on."""
    apart = ranks.size % sets == 0
    if apart and ranks.rank % sets != number:
        return np.zeros(0, np.int64)
    members, member = (ranks.size // sets, ranks.rank // sets) if apart else (ranks.size, ranks.rank)
    return np.arange(member * count // members, (member + 1) * count // members)


def _combined(ranks: Ranks, rows: np.ndarray, positions: np.ndarray, state: Assignments, gathered: Accumulated | None,
              folder: Path | None) -> Accumulated | None:
    """Return one set's results of all ranks on rank 0, whose state gains the other ranks' particles."""
    sums = ranks.add_up(None if gathered is None else to_numpy(gathered.sums), folder)
    own = rows[positions]
    message = None if gathered is None else (
        positions, {name: value[own] for name, value in vars(state).items()},
        {field.name: getattr(gathered, field.name) for field in fields(gathered) if field.name != "sums"})
    told = [part for part in ranks.gather(message) if part is not None]
    if ranks.rank != 0:
        return None
    assert sums is not None
    result = {name: sum(part[name] for _, _, part in told) for name in ADDED}
    result |= {name: np.zeros(len(rows)) for name in EACH}
    for where, assigned, part in told:
        for name, values in assigned.items():
            getattr(state, name)[rows[where]] = values
        for name in EACH:
            result[name][where] = part[name]
    return Accumulated(sums=sums, **result)
