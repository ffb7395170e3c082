"""The expectation step of sets of particles, shared among the ranks; the results are combined on rank 0."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import fields

import numpy as np

from cryosnake.numerics.backend import to_numpy
from cryosnake.parallel.ranks import Ranks, SingleRank
from cryosnake.programs.refinement.execution import Execution
from cryosnake.programs.refinement.state import Assignments
from cryosnake.programs.refinement.step import Accumulated, Report

ADDED = ("noise", "counts", "offset_power", "direction")  # small sums over the particles
EACH = ("cross", "power", "residual")  # per particle
Expect = Callable[[int, np.ndarray, Report], Accumulated]


def expect_on_ranks(work: Execution, sets: Sequence[np.ndarray], expect: Expect, report: Report) -> list[Accumulated]:
    """Return what an expectation step accumulates over each set of particles on rank 0; an empty list on the others.

    Sets (the half sets of Refine3D) go to different ranks where these can be divided evenly, otherwise every rank
    works on a part of each. One rank alone works on one set after the other.

    Parameters
    ----------
    work : Execution
        With its ranks, and how these combine their sums.
    sets : sequence of (n,) int
        Rows of each set.
    expect : callable
        expect(number, rows, report) runs the expectation step over rows of set `number`.
    report : callable
        Called with the number of particles done by all ranks, as estimated from this one.
    """
    ranks = work.ranks
    mine = [share_of(ranks, number, len(sets), len(rows)) for number, rows in enumerate(sets)]
    total, own = sum(map(len, sets)), max(sum(map(len, mine)), 1)
    done, found = 0, []
    for number, (rows, positions) in enumerate(zip(sets, mine, strict=True)):

        def report_own(count: int, before: int = done) -> None:
            ranks.check_stop()
            report(round((before + count) / own * total))

        accumulated = None
        if len(positions):
            accumulated = expect(number, rows[positions], report_own)
            if len(accumulated.sums) > 1:  # of all threads
                accumulated.sums = accumulated.sums.sum(0, keepdims=True)
        found.append(accumulated)
        done += len(positions)
    if isinstance(ranks, SingleRank):
        return [accumulated for accumulated in found if accumulated is not None]
    combined = [_combined(work, *part) for part in zip(sets, mine, found, strict=True)]
    return [accumulated for accumulated in combined if accumulated is not None]


def share_of(ranks: Ranks, number: int, sets: int, count: int) -> np.ndarray:
    """Return the positions (m,) of set `number` (of `sets`, with `count` particles) that this rank works on."""
    apart = ranks.size % sets == 0
    if apart and ranks.rank % sets != number:
        return np.zeros(0, np.int64)
    members, member = (ranks.size // sets, ranks.rank // sets) if apart else (ranks.size, ranks.rank)
    return np.arange(member * count // members, (member + 1) * count // members)


def _combined(work: Execution, rows: np.ndarray, positions: np.ndarray, own: Accumulated | None) -> Accumulated | None:
    """Return one set's results of all ranks on rank 0."""
    ranks = work.ranks
    sums = ranks.add_up(None if own is None else to_numpy(own.sums), work.combine_in)
    message = None if own is None else (
        positions, {field.name: getattr(own, field.name) for field in fields(own) if field.name != "sums"})
    parts = [part for part in ranks.gather(message) if part is not None]
    if ranks.rank != 0:
        return None
    assert sums is not None
    where = np.argsort(np.concatenate([places for places, _ in parts]))

    def together(arrays: list[np.ndarray]) -> np.ndarray:
        return np.concatenate(arrays)[where]

    result = {name: sum(part[name] for _, part in parts) for name in ADDED}
    result |= {name: together([part[name] for _, part in parts]) for name in EACH}
    assigned = {field.name: together([getattr(part["assigned"], field.name) for _, part in parts])
                for field in fields(Assignments)}
    return Accumulated(sums=sums, assigned=Assignments(**assigned), **result)
