"""AutoPick: coordinates of particles, one micrograph at a time."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from cryosnake.atomic import write_text
from cryosnake.errors import CryosnakeError
from cryosnake.io.checked_numbers import checked_field
from cryosnake.io.star import write_star
from cryosnake.jobs.options import AutoPickOptions
from cryosnake.numerics.backend import Array, choose_device, to_device, to_numpy
from cryosnake.numerics.ctf import Defocus, Microscope, ctf
from cryosnake.numerics.picking.background import working_image
from cryosnake.numerics.picking.blobs import blob_responses
from cryosnake.numerics.picking.learned import LearnedPicker, score_map
from cryosnake.numerics.picking.learned_features import feature_maps
from cryosnake.numerics.picking.noise import NoiseLimits
from cryosnake.numerics.picking.pick import Picks, pick_particles
from cryosnake.numerics.picking.templates import TemplateBank, correlate, ctf_grid
from cryosnake.numerics.picking.threshold import NoisePeaks, PickOptions, Responses, count_noise_peaks
from cryosnake.programs.micrographs.autopick_templates import load_templates
from cryosnake.programs.micrographs.contrast_doubt import ContrastDoubt
from cryosnake.programs.micrographs.extract_inputs import read_micrograph
from cryosnake.programs.micrographs.optics_values import microscope_of, optics_value
from cryosnake.programs.micrographs.picker_files import read_picker

SUFFIX = "_autopick.star"
# Noise is counted on a square with a side of this many particle diameters: enough for a few hundred peaks.
NOISE_WIDTH = {"log": 40, "template": 24, "trained": 24}
COARSER = 1.02  # times the pixels that a picker was learned with, for micrographs that are picked with it


@dataclass(frozen=True, kw_only=True)
class AutoPickState:
    """Settings shared by all micrographs of an optics group; `bank` and `microscope` are for templates.

    Without `bank` or `picker` (a learned one), blobs are picked.
    """

    pixel_size: float
    working_pixel_size: float
    diameters: tuple[float, float]
    pick: PickOptions
    dark: bool
    device: str
    noise: NoisePeaks
    doubt: ContrastDoubt
    bank: TemplateBank | None = None
    microscope: Microscope | None = None
    picker: LearnedPicker | None = None


def prepare(options: AutoPickOptions, optics: Mapping[str, Any], inputs: Mapping[str, Path]) -> AutoPickState:
    """Return detector, templates and the detector's response to noise, for one optics group.

    Raises
    ------
    CryosnakeError
        if the pixel size is missing, the diameters are the wrong way round, or the reference is missing, not finite
        or of unknown pixel size, or the picker is missing, or learned with smaller pixels than the micrograph's
    """
    smallest, largest = options.diameter
    if smallest > largest:
        raise CryosnakeError(f"autopick: diameter is [{smallest:g}, {largest:g}]; give the smaller one first")
    pixel_size = optics_value(optics, "rlnMicrographPixelSize")
    device = choose_device(options.device)
    picker = _picker(options, inputs, pixel_size)
    working = picker.pixel_size if picker else max(pixel_size, 0.5 * options.lowpass)
    if not picker and smallest < 4.0 * working:
        raise CryosnakeError(f"autopick: a particle of {smallest:g} Å is too small for lowpass: {options.lowpass:g} "
                             f"at {pixel_size:g} Å per pixel; set lowpass to {smallest / 2:g} Å or less")
    template = options.method == "template"
    bank = load_templates(options, inputs, working, largest) if template else None
    microscope = microscope_of(optics) if template and options.ctf else None
    if bank is not None:
        bank = replace(bank, transforms=to_device(np.asarray(bank.transforms), device))
    state = AutoPickState(pixel_size=pixel_size, working_pixel_size=working, diameters=(smallest, largest),
                          pick=_pick_options(options, picker), dark=options.invert, device=device,
                          noise=NoisePeaks(np.zeros(1), 1.0, 1.0), bank=bank,
                          doubt=ContrastDoubt(size=0.5 * (smallest + largest), dark=options.invert),
                          microscope=microscope, picker=picker.on(device) if picker else None)
    return replace(state, noise=_noise(state))


def process(row: Mapping[str, Any], optics: Mapping[str, Any], state: AutoPickState, root: Path) -> dict[str, Any]:
    """Pick one micrograph, write `{root}_autopick.star` and return its row of autopick.star.

    No picks is a valid result: a table without rows.

    Raises
    ------
    CryosnakeError
        if the micrograph is missing, damaged, blank, not finite, or has no defocus where templates need one
    """
    path, micrograph = read_micrograph(row)
    micrograph = to_device(micrograph if state.dark else -micrograph, state.device)  # dark particles from here on
    transfer = None if state.microscope is None or state.bank is None else _ctf(row, state.bank, state.microscope, path)
    try:
        working = working_image(micrograph, state.pixel_size, state.working_pixel_size)
        picks = pick_particles(working, lambda image: _detect(image, state, transfer), state.noise, state.pick)
        state.doubt.look_at(path, working)
    except ValueError as error:
        raise CryosnakeError(f"{path}: {error}; check the micrograph and leave it out") from error
    target = root.with_name(root.name + SUFFIX)
    write_star(target, {"": coordinate_table(picks, state.bank)})
    return {"rlnMicrographName": row["rlnMicrographName"], "rlnMicrographCoordinates": target.as_posix()}


def coordinate_table(picks: Picks, bank: TemplateBank | None) -> pd.DataFrame:
    """Return RELION's table of picks; class and psi are those of the best template, 0 without templates."""
    count = len(picks.scores)
    return pd.DataFrame({
        "rlnCoordinateX": picks.positions[:, 0].astype(np.float64),
        "rlnCoordinateY": picks.positions[:, 1].astype(np.float64),
        "rlnAutopickFigureOfMerit": picks.scores.astype(np.float64),
        "rlnClassNumber": np.zeros(count, np.int64) if bank is None else bank.classes[picks.best],
        "rlnAnglePsi": np.zeros(count) if bank is None else bank.psi[picks.best]})


def finalise(options: AutoPickOptions, inputs: Mapping[str, Path], out: Path, star: Path) -> None:
    """Write coords_suffix_autopick.star, RELION 3.1's form of output: the name of the micrographs' STAR file."""
    write_text(out / f"coords_suffix{SUFFIX}", os.fspath(inputs["micrographs"]) + "\n")


def _picker(options: AutoPickOptions, inputs: Mapping[str, Path], pixel_size: float) -> LearnedPicker | None:
    """Return the learned picker for micrographs of a pixel size (Å), None for the other methods."""
    if options.method != "trained":
        return None
    if "picker" not in inputs:
        raise CryosnakeError("autopick: method: trained needs a picker; add a job of type trainpicker, which learns it "
                             "from picks or particles, and connect it as `picker`")
    picker = read_picker(inputs["picker"])
    if pixel_size > COARSER * picker.pixel_size:
        raise CryosnakeError(f"{inputs['picker']} was learned at {picker.pixel_size:g} Å per pixel, and these "
                             f"micrographs have {pixel_size:g} Å; train a picker on micrographs like these")
    return picker


def _pick_options(options: AutoPickOptions, picker: LearnedPicker | None) -> PickOptions:
    mean = 0.5 * (options.diameter[0] + options.diameter[1])
    return PickOptions(
        diameter=picker.diameter if picker else options.diameter[1] if options.method == "template" else mean,
        distance=options.min_distance or 2.0 / 3.0 * mean,
        border=0.5 * options.diameter[0] if options.border is None else options.border,
        threshold=options.threshold, upper=options.upper_threshold, avoid_contamination=options.avoid_contamination,
        limits=NoiseLimits(options.max_stddev_noise, options.min_avg_noise))


def _detect(image: Array, state: AutoPickState, transfer: Array | None) -> Responses:
    if state.picker is not None:
        maps = feature_maps(image, state.picker.diameter / state.working_pixel_size)
        return Responses(to_numpy(score_map(state.picker, maps))[None], True)
    if state.bank is None:
        smallest, largest = (diameter / state.working_pixel_size for diameter in state.diameters)
        return Responses(to_numpy(blob_responses(image, smallest, largest)))
    score, best = correlate(-image, state.bank, transfer)
    return Responses(to_numpy(score)[None], True, to_numpy(best))


def _noise(state: AutoPickState) -> NoisePeaks:
    """Count the peaks that the detector finds in noise; for templates at a defocus of 1.5 µm, since any will do."""
    transfer = None
    if state.bank is not None and state.microscope is not None:
        typical = {"rlnDefocusU": 15000.0, "rlnDefocusV": 15000.0, "rlnDefocusAngle": 0.0}
        transfer = _ctf(typical, state.bank, state.microscope, Path())
    return count_noise_peaks(lambda image: _detect(image, state, transfer), state.pick, state.working_pixel_size,
                             NOISE_WIDTH["trained" if state.picker else "template" if state.bank else "log"],
                             lambda noise: to_device(noise, state.device))


def _ctf(row: Mapping[str, Any], bank: TemplateBank, microscope: Microscope, path: Path) -> Array:
    """Return the micrograph's CTF on the templates' half transform (box, box // 2 + 1)."""
    missing = [label for label in ("rlnDefocusU", "rlnDefocusV", "rlnDefocusAngle") if label not in row]
    if missing:
        raise CryosnakeError(f"{path}: no {', '.join(missing)}, which the CTF of the templates needs; connect the "
                             "CtfFind job, or set ctf: false")
    squared, azimuth = ctf_grid(bank.transforms.shape[1], bank.pixel_size, bank.transforms)
    defocus = Defocus(checked_field(row, "rlnDefocusU"), checked_field(row, "rlnDefocusV"),
                      checked_field(row, "rlnDefocusAngle"), checked_field(row, "rlnPhaseShift", 0.0))
    return ctf(squared, azimuth, defocus, microscope).astype(np.float32)
