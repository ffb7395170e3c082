"""Pictures in the directory of a finished job, `<panel>.png`, drawn from the job's own files.

A definition names its panels; here each is a function of the job's directory and parameters.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from cryosnake.io.mrc import read_images, read_mrc
from cryosnake.io.star import read_star
from cryosnake.jobs.model import root_name
from cryosnake.numerics.symmetry import operators
from cryosnake.report.panels.class_maps import class_slices
from cryosnake.report.panels.classes import class_montage
from cryosnake.report.panels.ctf import ctf_overview
from cryosnake.report.panels.figures import new_figure, save, show_image
from cryosnake.report.panels.fsc import fsc_curves
from cryosnake.report.panels.map import map_views
from cryosnake.report.panels.particles import angular_distribution, micrograph_picks, motion_statistics
from cryosnake.report.panels.stages import map_stages

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure


def draw_pictures(panels: Sequence[str], out: Path, parameters: Mapping[str, Any]) -> list[Path]:
    """Draw the panels of a job and return the files written.

    A picture that can't be drawn is reported, and never fails a job that has its results.
    """
    drawn = []
    for panel in panels:
        try:
            save(PANELS[panel](out, parameters), out / f"{panel}.png")
            drawn.append(out / f"{panel}.png")
        except Exception as error:  # a table may be odd in any way: the results are kept without the picture
            print(f"no picture {panel}.png: {type(error).__name__}: {error}")
    return drawn


def _motion(out: Path, _: Mapping[str, Any]) -> Figure:
    tables = read_star(out / "corrected_micrographs.star")
    pixel_size = float(tables["optics"]["rlnMicrographOriginalPixelSize"][0])
    table = tables["micrographs"]
    return motion_statistics({name: table[f"rlnAccumMotion{name.title()}"].to_numpy(float) * pixel_size
                              for name in ("total", "early", "late")})


def _ctf(out: Path, _: Mapping[str, Any]) -> Figure:
    return ctf_overview(read_star(out / "micrographs_ctf.star")["micrographs"])


def _picks(out: Path, parameters: Mapping[str, Any]) -> Figure:
    """Draw the micrograph with the median number of picks."""
    table = read_star(out / "autopick.star")["coordinate_files"]
    picks = [read_star(path).get("") for path in table["rlnMicrographCoordinates"][:25]]
    counts = [0 if found is None else len(found) for found in picks]
    middle = int(np.argsort(counts)[len(counts) // 2])
    found, name = picks[middle], table["rlnMicrographName"][middle]
    image, pixel_size = read_mrc(name)
    places = np.zeros((0, 2)) if found is None else found[["rlnCoordinateX", "rlnCoordinateY"]].to_numpy(float)
    return micrograph_picks(image, places, parameters["diameter"][1] / pixel_size, pixel_size, Path(name).name)


def _class_averages(out: Path, parameters: Mapping[str, Any]) -> Figure:
    name, classes, counts = _last_iteration(out, parameters)
    averages, pixel_size = read_mrc(f"{name}_classes.mrcs")
    return class_montage(averages, counts, classes["rlnEstimatedResolution"].to_numpy(float),
                         mask_diameter=parameters["particle_diameter"] / pixel_size)


def _class_maps(out: Path, parameters: Mapping[str, Any]) -> Figure:
    name, classes, counts = _last_iteration(out, parameters)
    maps = [read_mrc(f"{name}_class{number:03d}.mrc") for number in range(1, len(classes) + 1)]
    return class_slices(np.stack([volume for volume, _ in maps]), counts,
                        classes["rlnEstimatedResolution"].to_numpy(float), maps[0][1])


def _last_iteration(out: Path, parameters: Mapping[str, Any]) -> tuple[str, pd.DataFrame, np.ndarray]:
    """Return the start of its files' names, its table of classes, and the particles of each class."""
    name = f"{out}/{root_name(parameters)}_it{parameters['iterations']:03d}"
    classes = read_star(f"{name}_model.star")["model_classes"]
    members = read_star(f"{name}_data.star")["particles"]["rlnClassNumber"].to_numpy()
    return name, classes, np.bincount(members, minlength=len(classes) + 1)[1:]


def _class_selection(out: Path, _: Mapping[str, Any]) -> Figure:
    table = read_star(out / "class_selection.star")["class_selection"]
    return class_montage(read_images(table["rlnReferenceImage"].tolist()), table["cryosnakeParticles"].to_numpy(),
                         table["rlnEstimatedResolution"].to_numpy(float), kept=table["rlnSelected"].to_numpy(bool),
                         scores=table["rlnClassScore"].to_numpy(float))


def _refine_fsc(out: Path, parameters: Mapping[str, Any]) -> Figure:
    tables = read_star(out / f"{root_name(parameters)}_model.star")
    table = tables["model_class_1"]
    return fsc_curves({"half maps, unmasked": table["rlnGoldStandardFsc"].to_numpy(float)},
                      table["rlnResolution"].to_numpy(float))


def _stages(out: Path, _: Mapping[str, Any]) -> Figure:
    """Draw the intermediate maps, the first class of each."""
    verdict = json.loads((out / "convergence.json").read_text())
    maps = {f"batch {int(path.name[6:9])}": read_mrc(path)[0] for path in sorted(out.glob("run_it???_class001.mrc"))}
    return map_stages(maps, "Initial model: " + ("converged" if verdict["converged"] else "not converged"))


def _angular_distribution(out: Path, parameters: Mapping[str, Any]) -> Figure:
    table = read_star(out / f"{root_name(parameters)}_data.star")["particles"]
    return angular_distribution(table["rlnAngleRot"].to_numpy(float), table["rlnAngleTilt"].to_numpy(float),
                                operators(parameters["symmetry"]))


def _particles(out: Path, _: Mapping[str, Any]) -> Figure:
    """Draw some particles, taken at even intervals from the whole set."""
    names = read_star(out / "particles.star")["particles"]["rlnImageName"].to_numpy()
    images = read_images(list(names[np.linspace(0, len(names) - 1, min(40, len(names))).astype(int)]))
    with new_figure(9.0, 4.8, f"{len(images)} of {len(names):,} particles") as figure:
        for axes, image in zip(figure.subplots(5, 8).ravel(), images, strict=False):
            show_image(axes, image)
        for axes in figure.axes[len(images) :]:
            axes.set_axis_off()
    return figure


PANELS: dict[str, Callable[[Path, Mapping[str, Any]], Figure]] = {
    "accumulated_motion": _motion,
    "ctf": _ctf,
    "picks": _picks,
    "particles": _particles,
    "class_averages": _class_averages,
    "class_maps": _class_maps,
    "class_selection": _class_selection,
    "fsc": _refine_fsc,
    "map": lambda out, parameters: map_views(*read_mrc(out / f"{root_name(parameters)}_class001.mrc")),
    "initial_map": lambda out, _: map_views(*read_mrc(out / "initial_model.mrc")),
    "stages": _stages,
    "angular_distribution": _angular_distribution,
    "mask": lambda out, _: map_views(*read_mrc(out / "mask.mrc"), title="Mask"),
}
