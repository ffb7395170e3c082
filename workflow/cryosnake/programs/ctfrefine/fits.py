"""The fits of a CtfRefine job, each over all units: aberrations, magnification, and CTF parameters.

Ranks share the units; rank 0 joins what they find, in the order of the units, and fits.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from cryosnake.jobs.forms import Progress
from cryosnake.jobs.options import CtfRefineOptions
from cryosnake.numerics.ctf_refine.defocus_fit import Lens, Modes
from cryosnake.numerics.ctf_refine.magnification import MagnificationSums, fit_magnification
from cryosnake.numerics.ctf_refine.phase_fit import EVEN_TERMS, Frequencies, PhaseFit, fit_phases
from cryosnake.numerics.ctf_refine.phase_sums import PhaseSums
from cryosnake.parallel.ranks import Ranks
from cryosnake.parallel.workers import CountDone, share_out
from cryosnake.parallel.world import lead
from cryosnake.programs.ctfrefine.optics_state import GroupOptics, in_new_frame, optics_of, rows_of, with_rows
from cryosnake.programs.ctfrefine.pixels import GroupPixels
from cryosnake.programs.ctfrefine.taken import taken
from cryosnake.programs.ctfrefine.units import (
    Seen,
    Unit,
    keep,
    kept_result,
    refined_lens,
    signature,
    sum_magnification,
    sum_phases,
)
from cryosnake.programs.refinement.particles import ParticleSet

_COMA_TERMS, _TREFOIL_TERMS, _SHIFT_TERMS = (3, 4), (2, 5), (0, 1)
RESULTS = 4  # units of each worker, whose results are in memory together
_Matrices = dict[int, tuple[np.ndarray, np.ndarray]]


@dataclass(frozen=True, kw_only=True)
class State:
    """What is known: optics of each group, CTF parameters of each row."""

    optics: tuple[GroupOptics, ...]
    lens: Lens


@dataclass(frozen=True, kw_only=True)
class Measured:
    """Sums of a group's phases, where they were taken, and the aberrations fitted to them."""

    sums: PhaseSums
    at: Frequencies
    fit: PhaseFit


@dataclass(frozen=True, kw_only=True)
class Work:
    """What a job computes on.

    Attributes
    ----------
    particles, units, pixels
        The particles, their units, and the pixels of each optics group by its index.
    options : CtfRefineOptions
    folders : sequence of Path
        Where results of units may be kept; the first is the job's.
    progress : callable
    ranks : Ranks
        The processes that share the units.
    workers : int
        Threads of this process that compute units of their own.
    first_lens : Lens
        The particles' CTF parameters before the job.
    """

    particles: ParticleSet
    units: Sequence[Unit]
    pixels: dict[int, GroupPixels]
    options: CtfRefineOptions
    folders: Sequence[Path]
    progress: Progress
    ranks: Ranks
    workers: int
    first_lens: Lens


@dataclass(frozen=True, kw_only=True)
class Task:
    """What is computed of each unit: under which name it is kept, its type, and settings that it depends on."""

    label: str
    kind: type[Any]
    compute: Callable[[Unit, Seen], Any]
    settings: str = ""


def modes_of(options: CtfRefineOptions) -> Modes:
    """Return what is fitted of each particle's CTF."""
    return Modes(defocus=options.defocus, astigmatism=options.astigmatism, phase_shift=options.phase_shift,
                 b_factor=options.b_factor)


def aberrations(work: Work, state: State, label: str) -> tuple[State, dict[int, Measured]]:
    """Return the state with the aberrations that later fits take, and what was measured and fitted of each group."""
    sums = _joined(work, state, Task(label=label, kind=PhaseSums, compute=sum_phases))
    found: tuple[State, dict[int, Measured]] = lead(work.ranks, lambda: _fitted_phases(work, state, label, sums))
    return found


def _fitted_phases(work: Work, state: State, label: str, joined: dict[int, Any]) -> tuple[State, dict[int, Measured]]:
    options, optics, measured = work.options, list(state.optics), {}
    odd_terms = (*_SHIFT_TERMS * (options.beam_tilt or options.trefoil), *_COMA_TERMS * options.beam_tilt,
                 *_TREFOIL_TERMS * options.trefoil)
    even_terms = range(EVEN_TERMS) if options.fourth_order else ()
    for group, sums in joined.items():
        own = optics[group]
        kx, ky = work.pixels[group].seen(own.magnification)
        at = Frequencies(kx=kx, ky=ky, shell=work.pixels[group].band.shell)
        fit = fit_phases(sums, at, own.odd.tolist(), own.even.tolist(), odd_terms=sorted(odd_terms),
                         even_terms=list(even_terms))
        optics[group] = _taken(work, group, replace(own, odd=fit.odd, even=fit.even), label)
        measured[group] = Measured(sums=sums, at=at, fit=fit)
    return replace(state, optics=tuple(optics)), measured


def magnification(work: Work, state: State, label: str) -> tuple[State, _Matrices]:
    """Return the state with the magnification that later fits take, and each group's matrix and expected errors."""
    sums = _joined(work, state, Task(label=label, kind=MagnificationSums, compute=sum_magnification))
    found: tuple[State, _Matrices] = lead(work.ranks, lambda: _fitted_magnification(work, state, label, sums))
    return found


def _fitted_magnification(work: Work, state: State, label: str, joined: dict[int, Any]) -> tuple[State, _Matrices]:
    optics, lens, fitted = list(state.optics), state.lens, {}
    for group, sums in joined.items():
        found, errors = fit_magnification(sums)
        before = optics[group].magnification
        fitted[group] = ((np.eye(2) + found) @ before, errors)
        optics[group] = _taken(work, group, replace(optics[group], magnification=fitted[group][0]), label)
        rows = np.flatnonzero(work.particles.optics == group)
        change = optics[group].magnification @ np.linalg.inv(before)
        lens = with_rows(lens, rows, in_new_frame(rows_of(lens, rows), change))
    return State(optics=tuple(optics), lens=lens), fitted


def _taken(work: Work, group: int, found: GroupOptics, label: str) -> GroupOptics:
    """Return the optics that later fits take for those found."""
    first = optics_of(work.particles.groups[group]).values().tolist()
    pixels = work.pixels[group]
    settings = f"{label}|{work.options}|{first}|{work.particles.groups[group].microscope}|{pixels.references.identity}"
    return taken(found, pixels, work.folders, f"{label}_optics-group_{group + 1}.npz", settings)


def ctf_parameters(work: Work, state: State, label: str) -> State:
    """Return the state with refined CTF parameters."""
    modes, lens = modes_of(work.options), state.lens

    def compute(unit: Unit, seen: Seen) -> Lens:
        return refined_lens(unit, seen, modes, work.options.defocus_range)

    task = Task(label=label, kind=Lens, compute=compute, settings=f"{modes}{work.options.defocus_range}")
    for unit, found in _each(work, state, task):
        lens = with_rows(lens, unit.rows, found)
    return replace(state, lens=work.ranks.broadcast(lens))


def _joined(work: Work, state: State, task: Task) -> dict[int, Any]:
    """Return the sums of each optics group over its units; on ranks other than 0 nothing."""
    total: dict[int, Any] = {}
    for unit, found in _each(work, state, task):
        total[unit.group] = total[unit.group] + found if unit.group in total else found
    return total


def _each(work: Work, state: State, task: Task) -> Iterator[tuple[Unit, Any]]:
    """Yield each unit and its result, in their order, on rank 0; nothing on the others, which compute their part."""
    rank, size = work.ranks.rank, work.ranks.size
    count, done = RESULTS * work.workers * size, 0
    for begin in range(0, len(work.units), count):
        units = work.units[begin : begin + count]
        parts = work.ranks.gather(_results(work, state, task, units[rank::size], done))
        done += sum(map(len, units))
        for place, unit in enumerate(units if rank == 0 else ()):
            yield unit, parts[place % size][place // size]


def _results(work: Work, state: State, task: Task, units: Sequence[Unit], before: int) -> list[Any]:
    """Return the results of units: kept, or computed on all threads and kept; `before` particles are done already."""
    results: list[Any] = [None] * len(units)
    missing: list[tuple[int, Seen, str]] = []
    for number, unit in enumerate(units):
        seen = seen_of(work, state, unit)
        made_from = signature(unit, seen, f"{task.label}{task.settings}")
        results[number] = kept_result(task.kind, work.folders, f"{unit.name}_{task.label}.npz", made_from)
        if results[number] is None:
            missing.append((number, seen, made_from))

    def one(_: int, item: tuple[int, Seen, str], count_done: CountDone) -> None:
        number, seen, made_from = item
        results[number] = task.compute(units[number], seen)
        keep(results[number], work.folders[0], f"{units[number].name}_{task.label}.npz", made_from)
        count_done(len(units[number]))

    total, ranks = len(work.particles), work.ranks.size
    share_out(one, missing, work.workers, lambda done: work.progress(min(before + done * ranks, total), total,
                                                                     task.label))
    return results


def seen_of(work: Work, state: State, unit: Unit) -> Seen:
    """Return what a state says of a unit."""
    microscope = work.particles.groups[unit.group].microscope
    assert microscope is not None
    first = optics_of(work.particles.groups[unit.group])
    return Seen(pixels=work.pixels[unit.group], microscope=microscope, optics=state.optics[unit.group],
                lens=rows_of(state.lens, unit.rows), first_optics=first,
                first_lens=rows_of(work.first_lens, unit.rows))
