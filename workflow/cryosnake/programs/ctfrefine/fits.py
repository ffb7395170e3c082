"""The fits of a CtfRefine job, each over all units: aberrations, magnification, and CTF parameters."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar

import numpy as np

from cryosnake.jobs.forms import Progress
from cryosnake.jobs.options import CtfRefineOptions
from cryosnake.numerics.ctf_refine.defocus_fit import Lens, Modes
from cryosnake.numerics.ctf_refine.magnification import MagnificationSums, fit_magnification
from cryosnake.numerics.ctf_refine.phase_fit import EVEN_TERMS, Frequencies, PhaseFit, fit_phases
from cryosnake.numerics.ctf_refine.phase_sums import PhaseSums
from cryosnake.parallel.workers import CountDone, share_out, workers_available
from cryosnake.programs.ctfrefine.optics_state import GroupOptics, in_new_frame, optics_of, rows_of, with_rows
from cryosnake.programs.ctfrefine.pixels import GroupPixels
from cryosnake.programs.ctfrefine.taken import taken
from cryosnake.programs.ctfrefine.units import (
    Seen,
    Unit,
    keep,
    read_kept,
    refined_lens,
    signature,
    sum_magnification,
    sum_phases,
)
from cryosnake.programs.refinement.particles import ParticleSet

_COMA_TERMS, _TREFOIL_TERMS, _SHIFT_TERMS = (3, 4), (2, 5), (0, 1)
Result = TypeVar("Result", PhaseSums, MagnificationSums, Lens)


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
    """

    particles: ParticleSet
    units: Sequence[Unit]
    pixels: dict[int, GroupPixels]
    options: CtfRefineOptions
    folders: Sequence[Path]
    progress: Progress


def modes_of(options: CtfRefineOptions) -> Modes:
    """Return what is fitted of each particle's CTF."""
    return Modes(defocus=options.defocus, astigmatism=options.astigmatism, phase_shift=options.phase_shift,
                 b_factor=options.b_factor)


def aberrations(work: Work, state: State, label: str) -> tuple[State, dict[int, Measured]]:
    """Return the state with the aberrations that later fits take, and what was measured and fitted of each group."""
    options, optics, measured = work.options, list(state.optics), {}
    odd_terms = (*_SHIFT_TERMS * (options.beam_tilt or options.trefoil), *_COMA_TERMS * options.beam_tilt,
                 *_TREFOIL_TERMS * options.trefoil)
    even_terms = range(EVEN_TERMS) if options.fourth_order else ()
    for group, sums in _joined(work, state, label, PhaseSums, sum_phases).items():
        own = optics[group]
        kx, ky = work.pixels[group].seen(own.magnification)
        at = Frequencies(kx=kx, ky=ky, shell=work.pixels[group].band.shell)
        fit = fit_phases(sums, at, own.odd.tolist(), own.even.tolist(), odd_terms=sorted(odd_terms),
                         even_terms=list(even_terms))
        optics[group] = _taken(work, group, replace(own, odd=fit.odd, even=fit.even), label)
        measured[group] = Measured(sums=sums, at=at, fit=fit)
    return replace(state, optics=tuple(optics)), measured


def magnification(work: Work, state: State, label: str) -> tuple[State, dict[int, tuple[np.ndarray, np.ndarray]]]:
    """Return the state with the magnification that later fits take, and each group's matrix and expected errors."""
    optics, lens, fitted = list(state.optics), state.lens, {}
    for group, sums in _joined(work, state, label, MagnificationSums, sum_magnification).items():
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

    settings = f"{modes}{work.options.defocus_range}"
    for unit, found in zip(work.units, _each(work, state, label, Lens, compute, settings), strict=True):
        lens = with_rows(lens, unit.rows, found)
    return replace(state, lens=lens)


def _joined(work: Work, state: State, label: str, kind: type[Result], compute: Callable[[Unit, Seen], Result],
            ) -> dict[int, Result]:
    """Return the sums of each optics group over its units."""
    total: dict[int, Result] = {}
    for unit, found in zip(work.units, _each(work, state, label, kind, compute), strict=True):
        total[unit.group] = total[unit.group] + found if unit.group in total else found  # type: ignore[operator]
    return total


def _each(work: Work, state: State, label: str, kind: type[Result], compute: Callable[[Unit, Seen], Result],
          settings: str = "") -> list[Result]:
    """Return the result of each unit: kept, or computed on all threads and kept."""
    results: list[Result | None] = [None] * len(work.units)
    missing: list[tuple[int, Seen, str]] = []
    for number, unit in enumerate(work.units):
        seen = seen_of(work, state, unit)
        made_from = signature(unit, seen, f"{label}{settings}")
        results[number] = read_kept(kind, work.folders, f"{unit.name}_{label}.npz", made_from)
        if results[number] is None:
            missing.append((number, seen, made_from))
    total, there = len(work.particles), len(work.particles) - sum(len(work.units[n]) for n, _, _ in missing)

    def one(_: int, item: tuple[int, Seen, str], count_done: CountDone) -> None:
        number, seen, made_from = item
        unit = work.units[number]
        results[number] = compute(unit, seen)
        keep(results[number], work.folders[0], f"{unit.name}_{label}.npz", made_from)  # type: ignore[arg-type]
        count_done(len(unit))

    share_out(one, missing, workers_available(), lambda done: work.progress(there + done, total, label))
    found = [result for result in results if result is not None]
    assert len(found) == len(work.units)
    return found


def seen_of(work: Work, state: State, unit: Unit) -> Seen:
    """Return what a state says of a unit."""
    microscope = work.particles.groups[unit.group].microscope
    assert microscope is not None
    return Seen(pixels=work.pixels[unit.group], microscope=microscope, optics=state.optics[unit.group],
                lens=rows_of(state.lens, unit.rows))
