"""A made-up project whose jobs have the files that a report shows: chains of ten jobs, each file written once."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from cryosnake.io.mrc import read_mrc
from cryosnake.io.mrc_writer import write_mrc
from cryosnake.io.star_writer import write_star as write_tables
from cryosnake.jobs.registry import by_folder
from cryosnake.pipeline.files import PIPELINE_FILE, write_pipeline
from cryosnake.pipeline.job_star import write_job_star
from cryosnake.pipeline.markers import set_exit
from cryosnake.pipeline.model import Node, Pipeline, Process, Status
from cryosnake.pipeline.types import process_id_of, process_label_of

BOX, PIXEL = 48, 3.0
FOLDERS = ("Import", "MotionCorr", "CtfFind", "AutoPick", "Extract", "Class2D", "InitialModel", "Refine3D",
           "MaskCreate", "PostProcess")
STATED: dict[str, dict[str, Any]] = {  # what the methods name
    "Import": {"movies": "Movies/*.tiff", "voltage": 300.0, "pixel_size": 1.5, "spherical_aberration": 2.7},
    "MotionCorr": {"dose_per_frame": 1.2}, "AutoPick": {"diameter": [120.0, 150.0]},
    "Extract": {"box_size": 96, "rescale": BOX}, "Class2D": {"particle_diameter": 110.0, "classes": 12},
    "InitialModel": {"particle_diameter": 110.0, "symmetry": "C1"},
    "Refine3D": {"particle_diameter": 110.0, "symmetry": "C2", "initial_lowpass": 40.0}}


def make_project(jobs: int, micrographs: int = 60) -> None:
    """Make a project of so many jobs in the working directory; of many, those in the middle are empty."""
    store = Path(".store")
    store.mkdir()
    write = {"MotionCorr": _motion, "CtfFind": _ctf, "AutoPick": _picks, "Extract": _particles, "Class2D": _classes,
             "InitialModel": _initial, "Refine3D": _refinement, "MaskCreate": _mask, "PostProcess": _postprocess}
    rng = np.random.default_rng(1)
    options = {f"an_option_{number}": "some/path/of/a/file.star" for number in range(80)}
    for folder in FOLDERS:
        (store / folder).mkdir()
        write_job_star(store / folder / "job.star", 3, process_label_of(3), False, options)
    for folder, fill in write.items():
        fill(store / folder, rng, micrographs)
    processes, nodes, inputs, outputs = {}, {}, [], []
    for number in range(1, jobs + 1):
        folder = FOLDERS[(number - 1) % len(FOLDERS)]
        process = _job(folder, number, store / folder, number <= 300 or number > jobs - 100)
        node = f"{process.name}result"
        processes[process.name], nodes[node] = process, Node(node, "ProcessData.star.relion", 8)
        outputs.append((process.name, node))
        if folder != FOLDERS[0]:
            inputs.append((outputs[-2][1], process.name))
    write_pipeline(PIPELINE_FILE, Pipeline(jobs + 1, processes, nodes, tuple(inputs), output_edges=tuple(outputs)))


def _job(folder: str, number: int, store: Path, files: bool) -> Process:
    process = Process(f"{folder}/job{number:03d}/", f"{folder}/{folder.lower()}_{number}/", process_label_of(
        process_id_of("", folder), folder), process_id_of("", folder), status=Status.SUCCEEDED)
    out = Path(process.name)
    out.mkdir(parents=True)
    job_type = by_folder(folder)
    assert job_type is not None
    values = {parameter.name: parameter.default for parameter in job_type.parameters} | STATED.get(folder, {})
    (out / "cryosnake.json").write_text(json.dumps({
        "type": job_type.name, "name": process.short_alias, "stated": STATED.get(folder, {}), "parameters": values,
        "inputs": {}, "version": "0.1.0", "created": 1.8e9}))
    (out / "run_times.tsv").write_text(f"2026-11-30T12:00:00\t\tok\t{number % 97}.5\t{number % 97}.0\t512\t2\tscope\n")
    for file in store.glob("*") if files else [store / "job.star"]:
        os.link(file, out / file.name)
    set_exit(out, Status.SUCCEEDED)
    return process


def write_star(path: Path, tables: dict[str, dict[str, Any]]) -> None:
    """Write tables; one whose values are all single ones is a list."""
    write_tables(path, {name: table if all(np.isscalar(value) for value in table.values()) else pd.DataFrame(table)
                        for name, table in tables.items()})


def _optics() -> dict[str, list[Any]]:
    return {"rlnOpticsGroup": [1], "rlnMicrographOriginalPixelSize": [1.5], "rlnMicrographPixelSize": [1.5]}


def _motion(out: Path, rng: np.random.Generator, count: int) -> None:
    late, early = rng.gamma(4.0, 2.0, count), rng.gamma(4.0, 1.0, count)
    write_star(out / "corrected_micrographs.star", {"optics": _optics(), "micrographs": {
        "rlnMicrographName": _names(count), "rlnOpticsGroup": [1] * count, "rlnAccumMotionTotal": late + early,
        "rlnAccumMotionEarly": early, "rlnAccumMotionLate": late}})


def _ctf(out: Path, rng: np.random.Generator, count: int) -> None:
    defocus = rng.uniform(8000, 22000, count)
    write_star(out / "micrographs_ctf.star", {"optics": _optics(), "micrographs": {
        "rlnMicrographName": _names(count), "rlnOpticsGroup": [1] * count, "rlnDefocusU": defocus + 100,
        "rlnDefocusV": defocus - 100, "rlnCtfMaxResolution": rng.gamma(9.0, 0.5, count),
        "rlnCtfFigureOfMerit": rng.uniform(0.05, 0.2, count)}})
    write_star(out / "failed_micrographs.star", {"left_out": {
        "rlnMicrographName": ["Movies/bad_1.mrc", "Movies/bad_2.mrc"],
        "csnReason": ["Movies/bad_1.mrc: rings end at 9 Å (found: mean defocus 15000 Å, fit resolution 9.1 Å, "
                      "astigmatism 900 Å, figure of merit 0.02)", "Movies/bad_2.mrc: the file is cut off"]}})


def _picks(out: Path, _: np.random.Generator, count: int) -> None:
    write_star(out / "autopick.star", {"coordinate_files": {
        "rlnMicrographName": _names(count), "rlnMicrographCoordinates": [f"gone/{n}.star" for n in range(count)]}})


def _particles(out: Path, rng: np.random.Generator, _: int) -> None:
    write_mrc(out / "p.mrcs", rng.normal(size=(20, BOX, BOX)).astype(np.float32), PIXEL, stack=True)
    write_star(out / "particles.star", {"optics": _optics(), "particles": {
        "rlnImageName": [f"{number:06d}@.store/Extract/p.mrcs" for number in range(1, 21)],
        "rlnOpticsGroup": [1] * 20}})


def _classes(out: Path, rng: np.random.Generator, _: int) -> None:
    averages = np.stack([_blob().sum(0) + 2 * rng.normal(size=(BOX, BOX)) for _ in range(12)])
    write_mrc(out / "run_it025_classes.mrcs", averages.astype(np.float32), PIXEL, stack=True)
    members = rng.integers(1, 13, 500)
    write_star(out / "run_it025_data.star", {"optics": _optics(), "particles": {"rlnClassNumber": members}})
    write_star(out / "run_it025_model.star", {"model_general": {"rlnCurrentResolution": 9.0}, "model_classes": {
        "rlnReferenceImage": [f"{n:06d}@run_it025_classes.mrcs" for n in range(1, 13)],
        "rlnClassDistribution": np.bincount(members, minlength=13)[1:] / 500, "rlnEstimatedResolution": [9.0] * 12}})


def _initial(out: Path, _: np.random.Generator, __: int) -> None:
    write_mrc(out / "initial_model.mrc", _blob(), PIXEL)
    (out / "convergence.json").write_text(json.dumps({"converged": True, "doubts": [], "starts": [0.98, 0.97],
                                                      "reproduced": 0.95, "by_chance": 0.02}))


def _refinement(out: Path, rng: np.random.Generator, _: int) -> None:
    frequency = np.arange(BOX // 2 + 1) / (BOX * PIXEL)
    write_mrc(out / "run_class001.mrc", _blob() + 0.05 * rng.normal(size=(BOX,) * 3).astype(np.float32), PIXEL)
    write_star(out / "run_model.star", {"model_general": {"rlnCurrentResolution": 8.0}, "model_class_1": {
        "rlnSpectralIndex": np.arange(len(frequency)), "rlnResolution": frequency,
        "rlnGoldStandardFsc": 1 / (1 + np.exp((frequency - 0.12) * 90))}})
    write_star(out / "run_data.star", {"optics": _optics(), "particles": {
        "rlnAngleRot": rng.uniform(-180, 180, 2000), "rlnAngleTilt": np.degrees(np.arccos(rng.uniform(-1, 1, 2000)))}})
    (out / "run.out").write_text("".join(f"iteration {n:3d}: {20 / n + 8:6.2f} Å (FSC 0.143)\n" for n in range(1, 12)))


def _mask(out: Path, _: np.random.Generator, __: int) -> None:
    write_mrc(out / "mask.mrc", (_blob() > 0.2).astype(np.float32), PIXEL)


def _postprocess(out: Path, rng: np.random.Generator, _: int) -> None:
    frequency = np.arange(BOX // 2 + 1) / (BOX * PIXEL)
    curve: Callable[[float], np.ndarray] = lambda middle: 1 / (1 + np.exp((frequency - middle) * 90))  # noqa: E731
    label = "FourierShellCorrelation"
    write_star(out / "postprocess.star", {
        "general": {"rlnFinalResolution": 7.25, "rlnBfactorUsedForSharpening": -80.0},
        "fsc": {"rlnResolution": frequency, f"rln{label}Corrected": curve(0.13), f"rln{label}MaskedMaps": curve(0.132),
                f"rln{label}UnmaskedMaps": curve(0.11), f"rlnCorrected{label}PhaseRandomizedMaskedMaps": curve(0.05)},
        "guinier": {"rlnResolutionSquared": frequency**2, "rlnLogAmplitudesOriginal": -20 * frequency,
                    "rlnLogAmplitudesWeighted": -24 * frequency, "rlnLogAmplitudesSharpened": -3 * frequency}})
    volume = _blob() * (1 + 0.2 * rng.normal(size=(BOX,) * 3))
    write_mrc(out / "postprocess_masked.mrc", (volume * (_blob() > 0.2)).astype(np.float32), PIXEL)
    assert read_mrc(out / "postprocess_masked.mrc")[1] == PIXEL


def _blob() -> np.ndarray:
    """Return a map (box, box, box) of a dumb-bell."""
    z, y, x = np.mgrid[:BOX, :BOX, :BOX] - BOX // 2
    middle = np.exp(-(x**2 + y**2 + z**2) / 120.0)
    return (middle + np.exp(-((x - 12) ** 2 + y**2 + (z + 4) ** 2) / 40.0)).astype(np.float32)


def _names(count: int) -> list[str]:
    return [f"Movies/m{number:04d}.mrc" for number in range(count)]
