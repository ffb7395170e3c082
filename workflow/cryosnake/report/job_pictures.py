"""Pictures in the directory of a finished job, `<panel>.png`, drawn from its results by a rule of their own.

A definition names its panels; here each is a function of the job's directory, and its parameters and inputs by name.
"""

from __future__ import annotations

import base64
import sys
import textwrap
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from cryosnake.io.movies import read_image
from cryosnake.io.mrc import read_images, read_mrc
from cryosnake.io.star import read_star
from cryosnake.jobs.model import root_name
from cryosnake.json_files import read_json
from cryosnake.numerics.map_resample import refit_mask
from cryosnake.numerics.masking import automatic_threshold
from cryosnake.numerics.symmetry import operators
from cryosnake.report.panels.aberrations import aberration_phases
from cryosnake.report.panels.class_maps import class_slices
from cryosnake.report.panels.classes import class_montage
from cryosnake.report.panels.ctf import ctf_overview
from cryosnake.report.panels.figures import new_figure, save, show_image
from cryosnake.report.panels.fsc import fsc_curves, guinier_plot
from cryosnake.report.panels.local_resolution import local_resolution_views
from cryosnake.report.panels.map import map_views
from cryosnake.report.panels.particles import angular_distribution, micrograph_picks, motion_statistics
from cryosnake.report.panels.polishing import frame_weights, particle_tracks
from cryosnake.report.panels.stages import map_stages

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

_WHITE = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAAAAAA6fptVAAAACklEQVR4nGP4DwABAQEANl9ngAAAAABJRU5ErkJggg=="  # a PNG
_MOVIES = 4  # whose tracks are drawn


def draw_pictures(panels: Sequence[str], out: Path, parameters: Mapping[str, Any]) -> None:
    """Draw the panels of a job.

    A picture that cannot be drawn is reported, and stops nothing: one that says why takes its place.
    """
    for panel in panels:
        try:
            save(PANELS[panel](out, parameters), out / f"{panel}.png")
        except Exception as error:  # a table may be odd in any way
            reason = f"{type(error).__name__}: {error}"
            print(f"{out}: the picture {panel}.png could not be drawn ({reason}); the results are not affected. To try "
                  "again, delete it and run snakemake again.", file=sys.stderr)
            _draw_reason(reason, out / f"{panel}.png")


def _draw_reason(reason: str, path: Path) -> None:
    """Write a picture that says why there is no other one; where nothing can be drawn at all, an empty one."""
    try:
        with new_figure(6.4, 3.2, "This picture could not be drawn") as figure:
            figure.text(0.03, 0.85, "\n".join(textwrap.wrap(reason, 80)[:12]), va="top")
        save(figure, path)
    except Exception:  # no Matplotlib that works
        path.write_bytes(base64.b64decode(_WHITE))


def _motion(out: Path, _: Mapping[str, Any]) -> Figure:
    tables = read_star(out / "corrected_micrographs.star")
    pixel_size = float(tables["optics"]["rlnMicrographOriginalPixelSize"][0])
    table = tables["micrographs"]
    return motion_statistics({name: table[f"rlnAccumMotion{name.title()}"].to_numpy(float) * pixel_size
                              for name in ("total", "early", "late")})


def _ctf(out: Path, _: Mapping[str, Any]) -> Figure:
    left_out = out / "failed_micrographs.star"
    reasons = list(read_star(left_out)["left_out"]["csnReason"]) if left_out.exists() else []
    return ctf_overview(read_star(out / "micrographs_ctf.star")["micrographs"], reasons)


def _picks(out: Path, parameters: Mapping[str, Any]) -> Figure:
    """Draw the micrograph with the median number of picks."""
    table = read_star(out / "autopick.star")["coordinate_files"]
    picks = [read_star(path).get("") for path in table["rlnMicrographCoordinates"][:25]]
    counts = [0 if found is None else len(found) for found in picks]
    middle = int(np.argsort(counts)[len(counts) // 2])
    found, name = picks[middle], table["rlnMicrographName"][middle]
    image, pixel_size = read_image(name)
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
    kept, members = table["rlnSelected"].to_numpy(bool), table["cryosnakeParticles"].to_numpy()
    passed = table["cryosnakeParticlesKept"] if "cryosnakeParticlesKept" in table.columns else members[kept]
    return class_montage(read_images(table["rlnReferenceImage"].tolist()), members,
                         table["rlnEstimatedResolution"].to_numpy(float), kept=kept, passed=int(passed.sum()),
                         scores=table["rlnClassScore"].to_numpy(float))


def _refine_fsc(out: Path, parameters: Mapping[str, Any]) -> Figure:
    tables = read_star(out / f"{root_name(parameters)}_model.star")
    table, where = tables["model_class_1"], "inside the mask" if parameters.get("solvent_fsc") else "unmasked"
    views = out / f"{root_name(parameters)}_views.json"  # not there in jobs of RELION and of earlier versions
    return fsc_curves({f"half maps, {where}": table["rlnGoldStandardFsc"].to_numpy(float)},
                      table["rlnResolution"].to_numpy(float),
                      resolution=float(tables["model_general"]["rlnCurrentResolution"].iloc[0]),
                      directional=[np.array(curve) for curve in read_json(views)["curves"]] if views.exists() else ())


def _stages(out: Path, _: Mapping[str, Any]) -> Figure:
    """Draw the intermediate maps, the first class of each."""
    verdict = read_json(out / "convergence.json")
    maps = {f"batch {int(path.name[6:9])}": read_mrc(path)[0] for path in sorted(out.glob("run_it???_class001.mrc"))}
    return map_stages(maps, "Initial model: " + ("converged" if verdict["converged"] else "not converged"))


def _angular_distribution(out: Path, parameters: Mapping[str, Any]) -> Figure:
    table = read_star(out / f"{root_name(parameters)}_data.star")["particles"]
    views = out / f"{root_name(parameters)}_views.json"
    evenness = f" (evenness {read_json(views)['evenness']:.2f})" if views.exists() else ""
    return angular_distribution(table["rlnAngleRot"].to_numpy(float), table["rlnAngleTilt"].to_numpy(float),
                                operators(parameters["symmetry"]), f"Angular distribution{evenness}")


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


def _postprocess_fsc(out: Path, _: Mapping[str, Any]) -> Figure:
    tables = read_star(out / "postprocess.star")
    curve = "FourierShellCorrelation"
    names = {"corrected": f"rln{curve}Corrected", "masked": f"rln{curve}MaskedMaps",
             "unmasked": f"rln{curve}UnmaskedMaps", "phase-randomised": f"rlnCorrected{curve}PhaseRandomizedMaskedMaps"}
    return fsc_curves({name: tables["fsc"][label].to_numpy(float) for name, label in names.items()},
                      tables["fsc"]["rlnResolution"].to_numpy(float),
                      resolution=float(tables["general"]["rlnFinalResolution"][0]))


def _postprocess_guinier(out: Path, _: Mapping[str, Any]) -> Figure:
    tables = read_star(out / "postprocess.star")
    general, table = tables["general"].iloc[0], tables["guinier"]
    names = {"original": "Original", "FSC-weighted": "Weighted", "sharpened": "Sharpened"}
    line = None
    if "rlnFittedSlopeGuinierPlot" in general:
        line = float(general["rlnFittedSlopeGuinierPlot"]), float(general["rlnFittedInterceptGuinierPlot"])
    return guinier_plot(np.sqrt(table["rlnResolutionSquared"].to_numpy(float)),
                        {name: table[f"rlnLogAmplitudes{label}"].to_numpy(float) for name, label in names.items()},
                        line, float(general["rlnBfactorUsedForSharpening"]), float(general["rlnFinalResolution"]))


def _local_resolution(out: Path, parameters: Mapping[str, Any]) -> Figure:
    """Draw histogram and slices of the mask's inside; without one, of whatever is denser than solvent."""
    density, pixel_size = read_mrc(out / "relion_locres_filtered.mrc")
    if parameters.get("mask"):
        mask, own = read_mrc(parameters["mask"])
        particle = (mask if mask.shape == density.shape else refit_mask(mask, own, len(density), pixel_size)) > 0.5
    else:
        particle = density > automatic_threshold(density, pixel_size).value
    return local_resolution_views(read_mrc(out / "relion_locres.mrc")[0], density, particle, pixel_size)


def _aberrations(out: Path, _: Mapping[str, Any]) -> Figure:
    with np.load(out / "phases.npz", allow_pickle=False) as found:
        return aberration_phases({key: found[key] for key in found.files})


def _tracks(out: Path, _: Mapping[str, Any]) -> Figure:
    """Draw the tracks of a few movies, taken at even intervals from all."""
    tables = read_star(out / "shiny.star")
    particles, optics = tables["particles"], tables["optics"].set_index("rlnOpticsGroup")
    roots = particles["rlnImageName"].astype(str).str.partition("@")[2].str.rpartition("_shiny")[0].to_numpy(str)
    names = np.unique(roots)
    movies = {}
    for root in names[np.linspace(0, len(names) - 1, min(_MOVIES, len(names))).astype(int)]:
        rows = particles[roots == root]
        label = "rlnMicrographOriginalPixelSize"
        pixel = float(optics.loc[rows["rlnOpticsGroup"].iloc[0]].get(label, 1.0))
        found = read_star(f"{root}_tracks.star")
        tracks = np.stack([found[str(number)][["rlnOriginXAngst", "rlnOriginYAngst"]].to_numpy(float)
                           for number in range(len(rows))])
        movies[Path(str(root)).name] = rows[["rlnCoordinateX", "rlnCoordinateY"]].to_numpy(float) * pixel, tracks
    return particle_tracks(movies)


def _frame_weights(out: Path, _: Mapping[str, Any]) -> Figure:
    labels = ("rlnBfactorUsedForSharpening", "rlnFittedInterceptGuinierPlot")
    tables = read_star(out / "bfactors.star").values()
    return frame_weights([(table[labels[0]].to_numpy(float), table[labels[1]].to_numpy(float)) for table in tables])


def _changed_map(out: Path, _: Mapping[str, Any]) -> Figure:
    """Draw the map, or one of the half maps where there are only these."""
    return map_views(*read_mrc(next(path for name in ("map", "half1_map") if (path := out / f"{name}.mrc").exists())))


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
    "changed_map": _changed_map,
    "mask": lambda out, _: map_views(*read_mrc(out / "mask.mrc"), title="Mask"),
    "postprocess_fsc": _postprocess_fsc,
    "postprocess_guinier": _postprocess_guinier,
    "postprocess_map": lambda out, _: map_views(*read_mrc(out / "postprocess_masked.mrc")),
    "local_resolution": _local_resolution,
    "aberrations": _aberrations,
    "tracks": _tracks,
    "frame_weights": _frame_weights,
}
