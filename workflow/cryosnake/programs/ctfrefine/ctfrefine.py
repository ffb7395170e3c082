"""CtfRefine: aberrations, magnification and CTF parameters of refined particles.

In each round the fits come in the order in which they depend on each other: aberrations first, because they blur what
the others look at; then the magnification, which moves the frequencies of all; then each particle's CTF.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np

from cryosnake.errors import CryosnakeError
from cryosnake.jobs.forms import Progress
from cryosnake.jobs.options import CtfRefineOptions
from cryosnake.numerics.backend import choose_device
from cryosnake.numerics.ctf_refine.defocus_fit import Lens
from cryosnake.parallel.workers import workers_available
from cryosnake.parallel.world import lead, world
from cryosnake.programs.ctfrefine.fits import (
    Measured,
    State,
    Work,
    aberrations,
    ctf_parameters,
    magnification,
    modes_of,
)
from cryosnake.programs.ctfrefine.input_particles import read_posed, units_of
from cryosnake.programs.ctfrefine.memory import planned_workers
from cryosnake.programs.ctfrefine.optics_state import lens_of, optics_of, tilt_and_rest
from cryosnake.programs.ctfrefine.output import write_particles, write_phases
from cryosnake.programs.ctfrefine.own_halves import check_halves
from cryosnake.programs.ctfrefine.pixels import pixels_of
from cryosnake.programs.ctfrefine.references import half_map_box, read_references
from cryosnake.programs.refinement.particles import ParticleSet

_MOST_TILT = 10.0  # mrad: no beam of a microscope that can be aligned is tilted more
_MOST_MAGNIFICATION = 0.05


def run(options: CtfRefineOptions, inputs: Mapping[str, str | Path], out: str | Path, progress: Progress) -> None:
    """Write particles_ctf_refine.star below `out`, phases.npz for the pictures, and what is kept of each micrograph.

    Raises
    ------
    CryosnakeError
        when particles and PostProcess do not fit together, nothing is to be fitted, or a fit is beyond reason
    """
    if not _chosen(options):
        raise CryosnakeError("ctfrefine: nothing is to be fitted; set defocus, astigmatism, phase_shift, b_factor, "
                             "beam_tilt, trefoil, fourth_order or magnification")
    particles, ranks = read_posed(str(inputs["particles"])), world()
    units = units_of(particles)
    post, device = str(inputs["postprocess"]), choose_device(options.device)
    most = workers_available() if device == "cpu" else 1
    workers = planned_workers(particles, units, half_map_box(post), options, ranks, most)
    references = read_references(post, options.max_resolution, device)
    folder = Path(out)
    used = np.unique(particles.optics).tolist()
    pixels = {group: pixels_of(particles.path, particles.groups[group], references, options.min_resolution)
              for group in used}
    work = Work(particles=particles, units=units, pixels=pixels, options=options, folders=[folder, *_siblings(folder)],
                progress=progress, ranks=ranks, workers=workers, first_lens=lens_of(particles))
    print(f"{particles.describe()}; half maps of {references.box} voxels of {references.pixel_size:g} Å, used from "
          f"{options.min_resolution:g} to {references.limit:.2f} Å")
    state = State(optics=tuple(optics_of(group) for group in particles.groups), lens=work.first_lens)
    lead(ranks, lambda: check_halves(work, state))
    state, measured = _fitted(work, state)
    if ranks.rank > 0:
        return
    _report_defocus(work.first_lens, state)
    write_phases(folder / "phases.npz", particles, measured)
    write_particles(folder / "particles_ctf_refine.star", particles, state, options)


def _chosen(options: CtfRefineOptions) -> bool:
    return (modes_of(options).any or options.beam_tilt or options.trefoil or options.fourth_order
            or options.magnification)


def _siblings(folder: Path) -> list[Path]:
    """Return other jobs of the type, the latest first: their results hold where they were made from the same."""
    return sorted((path for path in folder.parent.glob("job*") if path.name != folder.name and path.is_dir()),
                  reverse=True)


def _fitted(work: Work, state: State) -> tuple[State, dict[int, Measured]]:
    """Return the state after all rounds, with what the last fits found, and the last measured phases."""
    options = work.options
    measured: dict[int, Measured] = {}
    matrices: dict[int, tuple[np.ndarray, np.ndarray]] = {}
    phases = options.beam_tilt or options.trefoil or options.fourth_order
    several = phases + options.magnification + modes_of(options).any
    for number in range(1, (options.rounds if several > 1 else 1) + 1):
        if phases:
            state, measured = aberrations(work, state, f"phases_{number}")
            _report_phases(work.particles, measured)
        if options.magnification:
            state, matrices = magnification(work, state, f"magnification_{number}")
            _report_magnification(work.particles, matrices)
        if modes_of(options).any:
            state = ctf_parameters(work, state, f"ctf_{number}")
    optics = list(state.optics)
    for group, found in measured.items():
        optics[group] = replace(optics[group], odd=found.fit.odd, even=found.fit.even)
    for group, (matrix, _) in matrices.items():
        optics[group] = replace(optics[group], magnification=matrix)
    return replace(state, optics=tuple(optics)), measured


def _report_phases(particles: ParticleSet, measured: Mapping[int, Measured]) -> None:
    for group, found in measured.items():
        microscope = particles.groups[group].microscope
        assert microscope is not None
        tilt, odd = tilt_and_rest(found.fit.odd, microscope)
        name = particles.optics_name(group)
        print(f"optics group {name}: beam tilt {tilt[0]:.3f}, {tilt[1]:.3f} mrad; odd terms {_listed(odd)}, even "
              f"terms {_listed(found.fit.even)}; expected RMS error {found.fit.odd_error:.3f} and "
              f"{found.fit.even_error:.3f} rad")
        if max(map(abs, tilt)) > _MOST_TILT:
            raise CryosnakeError(f"{particles.path}: the beam tilt of optics group {name} comes out as {tilt[0]:.1f}, "
                                 f"{tilt[1]:.1f} mrad, beyond reason; are its particles predicted from the right map, "
                                 "and is rlnSphericalAberration right? Too few particles look like this, too: then set "
                                 "beam_tilt and trefoil to false")


def _listed(values: np.ndarray) -> str:
    return ", ".join(f"{value:.3g}" for value in values)


def _report_magnification(particles: ParticleSet, found: Mapping[int, tuple[np.ndarray, np.ndarray]]) -> None:
    for group, (matrix, error) in found.items():
        name = particles.optics_name(group)
        print(f"optics group {name}: magnification {np.round(matrix, 5).tolist()}, expected error "
              f"{float(error.max()):.1g}")
        if np.abs(matrix - np.eye(2)).max() > _MOST_MAGNIFICATION:
            raise CryosnakeError(f"{particles.path}: the magnification of optics group {name} comes out as "
                                 f"{np.round(matrix, 3).tolist()}, beyond reason; check the pixel sizes of particles "
                                 "and half maps, or set magnification: false")
        mean = 0.5 * float(np.trace(matrix))
        if abs(mean - 1.0) > 0.005:
            print(f"WARNING: the mean magnification differs from 1 by {100 * (mean - 1):.2f} %: the pixel size "
                  f"of optics group {name}, or of the half maps, is probably wrong by as much")


def _report_defocus(first: Lens, state: State) -> None:
    change = state.lens.terms[:, 0] - first.terms[:, 0]
    if change.any():
        print(f"mean defocus changed by {change.mean():.0f} Å, standard deviation {change.std():.0f} Å")
