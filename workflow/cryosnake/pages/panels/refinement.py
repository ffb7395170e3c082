"""Panels of refined maps: FSC, iterations, viewing directions, slices, Guinier plot, local resolution."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np

from cryosnake.errors import CryosnakeError
from cryosnake.io.mrc import read_mrc
from cryosnake.io.star import read_star
from cryosnake.json_files import read_json
from cryosnake.numerics.euler import euler_to_matrix
from cryosnake.numerics.symmetry import operators
from cryosnake.pages.blocks.charts import Guide, Series, chart, histogram
from cryosnake.pages.blocks.panel import DOUBTFUL, GOOD, Panel
from cryosnake.pages.blocks.pictures import Gallery, Picture, colour_uri, grey_uri, shrunk
from cryosnake.pages.panels.view import JobView
from cryosnake.pipeline.star_text import read_blocks
from cryosnake.report.panels.map import central_slices, content_window

_ITERATION = re.compile(r"^iteration +(\d+): +(?:best class )?([\d.]+) Å", re.MULTILINE)
_GOLD = 0.143


def refine_fsc(job: JobView) -> Panel | None:
    """Return the FSC of the half maps of a refinement."""
    if not Path(f"{job.root}_model.star").exists():
        return None
    tables = read_star(f"{job.root}_model.star")
    table = tables.get("model_class_1")
    if table is None or "rlnGoldStandardFsc" not in table.columns:
        return None
    frequency = table["rlnResolution"].to_numpy(float)[1:]
    resolution = float(tables["model_general"]["rlnCurrentResolution"].iloc[0])
    where = "inside the mask" if job.values.get("solvent_fsc") else "unmasked"
    directional = _views_of(job).get("curves", [])
    thin = [Series(name="" if number else "single directions", x=frequency[: len(curve) - 1], y=np.array(curve[1:]),
                   look="thin", colour=4) for number, curve in enumerate(directional)]
    main = Series(name=f"half maps, {where}", x=frequency, y=table["rlnGoldStandardFsc"].to_numpy(float)[1:])
    limited = _limited(main.y)
    return Panel(title="Fourier shell correlation", level=DOUBTFUL if limited else "",
                 verdict=f"{resolution:.2f} Å at FSC {_GOLD} ({where}).{limited}", blocks=[
        chart("FSC of the half maps", ("resolution, Å", "FSC"), [*thin, main], x_kind="resolution", y_range=(0.0, 1.0),
              guides=_fsc_guides(resolution))],
        caption="Two halves of the particles, refined apart. Good: close to 1, then one smooth fall to 0, directions "
        "close together. Bad: a bump after the fall, a plateau that never reaches 0 (duplicates, too tight a mask), "
        "directions that fan out (preferred views).")


def iterations(job: JobView) -> Panel | None:
    """Return the resolution after each iteration."""
    found = _from_log(job) or _from_models(job)
    if len(found) < 2:
        return None
    number, resolution = (np.array(column, float) for column in zip(*found, strict=True))
    return Panel(title="Iterations", verdict=f"{int(number[-1])} iterations, from {resolution[0]:.1f} to "
                 f"{resolution[-1]:.1f} Å.",
                 blocks=[chart("Resolution by iteration", ("iteration", "resolution, Å"),
                               [Series(name="resolution, Å", x=number, y=resolution, look="line"),
                                Series(name="", x=number, y=resolution, look="dots")])],
                 caption="Good: falls in steps and ends flat. Bad: still falling at the end (more iterations), or up "
                 "and down.")


def views(job: JobView) -> Panel | None:
    """Return the distribution of viewing directions."""
    if not Path(f"{job.root}_data.star").exists():
        return None
    table = read_star(f"{job.root}_data.star")["particles"]
    rot, tilt = table["rlnAngleRot"].to_numpy(float), table["rlnAngleTilt"].to_numpy(float)
    image, highest, empty = _mollweide(rot, tilt, job.values.get("symmetry") or "C1")
    evenness = _views_of(job).get("evenness")
    verdict = (f"{len(table):,} particles; the most frequent direction has {highest:.1f} times the average; "
               f"{empty:.0%} of the directions have none."
               + (f" Evenness {evenness:.2f} (1 is even)." if evenness else ""))
    picture = Picture(source=colour_uri(image), words="rot −180° to 180° from left to right, tilt 0° at the top",
                      more=f"dark: none; light: {highest:.1f} times the average", width=image.shape[1],
                      height=image.shape[0])
    return Panel(title="Viewing directions", verdict=verdict, level=DOUBTFUL if empty > 0.25 else GOOD,
                 blocks=[Gallery(pictures=[picture], size="wide")],
                 caption="All directions on an equal-area map (Mollweide), with the symmetry applied. Good: colour "
                 "everywhere. Bad: a few bright spots on black; the map is then smeared along what is not seen.")


def map_slices(job: JobView) -> Panel | None:
    """Return central slices and projections of the job's map."""
    path = map_file(job)
    if path is None:
        return None
    volume, pixel_size = read_mrc(path)
    volume = volume[content_window(volume)]
    contrast = (float(np.percentile(volume, 1.0)), float(np.percentile(volume, 99.9)))
    slices = central_slices(volume)
    shown = [_slice(f"slice {name}", image, contrast) for name, image in slices.items()]
    shown += [_slice(f"projection {name}", volume.sum(axis), None) for axis, name in enumerate(slices)]
    return Panel(title="Map", verdict=f"{path.name}: {pixel_size:.3f} Å per pixel.", wide=True,
                 blocks=[Gallery(pictures=shown)],
                 caption="Density is light. Good: sharp inside, flat outside. Bad: streaks along one direction, "
                 "rings around the centre, noise that is as strong as the particle.")


def map_file(job: JobView) -> Path | None:
    """Return the map that a job stands for; None if it has none."""
    names = ("postprocess_masked.mrc", "postprocess.mrc", f"{Path(job.root).name}_class001.mrc", "initial_model.mrc",
             "map.mrc", "mask.mrc")
    return next((job.path / name for name in names if (job.path / name).exists()), None)


def postprocess_fsc(job: JobView) -> Panel | None:
    """Return the FSC curves of post-processing."""
    if not job.has("postprocess.star"):
        return None
    tables = read_star(job.path / "postprocess.star")
    table, frequency = tables["fsc"], tables["fsc"]["rlnResolution"].to_numpy(float)[1:]
    resolution = float(tables["general"]["rlnFinalResolution"].iloc[0])
    curve = "FourierShellCorrelation"
    names = {"corrected for the mask": f"rln{curve}Corrected", "inside the mask": f"rln{curve}MaskedMaps",
             "unmasked": f"rln{curve}UnmaskedMaps",
             "phases randomised": f"rlnCorrected{curve}PhaseRandomizedMaskedMaps"}
    series = [Series(name=name, x=frequency, y=table[label].to_numpy(float)[1:], colour=colour)
              for colour, (name, label) in enumerate(names.items()) if label in table.columns]
    randomised = table[names["phases randomised"]].to_numpy(float)[1:] if len(series) == 4 else np.zeros(1)
    tight = bool(np.any(randomised[frequency >= 1.0 / resolution][:3] > _GOLD)) if len(series) == 4 else False
    limited = _limited(series[0].y) if series else ""
    return Panel(title="Resolution", level=DOUBTFUL if tight or limited else GOOD, blocks=[
        chart("FSC of the half maps", ("resolution, Å", "FSC"), series, x_kind="resolution", y_range=(0.0, 1.0),
              guides=_fsc_guides(resolution))],
        verdict=f"{resolution:.2f} Å at FSC {_GOLD}, corrected for the effect of the mask.{limited}"
        + (" With randomised phases the masked maps still correlate there: the mask is too tight or too sharp." if tight
           else ""),
        caption="Good: the corrected curve falls once and smoothly, and that of randomised phases is near 0 where it "
        "falls. Bad: randomised phases that correlate (the mask itself does), a curve that rises again.")


def guinier(job: JobView) -> Panel | None:
    """Return the Guinier plot of post-processing."""
    if not job.has("postprocess.star"):
        return None
    tables = read_star(job.path / "postprocess.star")
    general, table = tables["general"].iloc[0], tables.get("guinier")
    if table is None:
        return None
    squared = table["rlnResolutionSquared"].to_numpy(float)
    names = {"as refined": "Original", "weighted by the FSC": "Weighted", "sharpened": "Sharpened"}
    series = []
    for colour, (name, label) in enumerate(names.items()):
        values = table[f"rlnLogAmplitudes{label}"].to_numpy(float)
        shown = values > -50.0  # -99 where there is no signal
        series.append(Series(name=name, x=squared[shown], y=values[shown], colour=colour))
    b_factor = float(general["rlnBfactorUsedForSharpening"])
    odd = b_factor > 0 or b_factor < -400
    return Panel(title="Guinier plot", level=DOUBTFUL if odd else "", verdict=f"B-factor {b_factor:.0f} Å².", blocks=[
        chart("Amplitudes", ("1/d², Å⁻²", "ln amplitude"), series)],
        caption="The slope beyond 10 Å is the B-factor. Usual: −30 to −200 Å² (the better the data, the smaller). "
        "Good: the sharpened curve is flat up to the resolution. Bad: it rises, so noise is amplified.")


def local_resolution(job: JobView) -> Panel | None:
    """Return the histogram of the local resolution inside the particle, and slices coloured by it."""
    if not job.has("relion_locres.mrc", "relion_locres_filtered.mrc"):
        return None
    resolution, pixel_size = read_mrc(job.path / "relion_locres.mrc")
    density = read_mrc(job.path / "relion_locres_filtered.mrc")[0]
    particle = _particle(job, density, pixel_size) & (resolution > 0.0)
    inside = resolution[particle]
    low, middle, high = (float(value) for value in np.percentile(inside, (5, 50, 95)))
    window = content_window(np.where(particle, density, 0.0))
    coloured = [_coloured(name, image, colour, mask, (low, high)) for (name, image), colour, mask in zip(
        central_slices(density[window]).items(), central_slices(resolution[window]).values(),
        central_slices(particle[window]).values(), strict=True)]
    return Panel(title="Local resolution", verdict=f"Median {middle:.2f} Å; {low:.2f} to {high:.2f} Å (5 to 95 %).",
                 wide=True, blocks=[histogram("Local resolution inside the mask", "Å", [("", inside, 0)], guides=[
                     Guide(axis="x", value=middle, text=f"median {middle:.2f}")], y_label="voxels"),
                     Gallery(pictures=coloured)],
                 caption=f"Slices, coloured from blue ({low:.1f} Å and better) to red ({high:.1f} Å and worse). Good: "
                 "a rigid core that is best, falling off to the edge. Bad: better at the edge than inside (the mask), "
                 "or large parts that are much worse (they move: classify).")


def _views_of(job: JobView) -> dict[str, Any]:
    """Return what a refinement says of its viewing directions; {} in jobs of RELION and of earlier versions."""
    path = Path(f"{job.root}_views.json")
    return dict(read_json(path)) if path.exists() else {}


def _limited(curve: np.ndarray) -> str:
    """Return a sentence where a curve ends before it has fallen."""
    if not len(curve) or curve[-1] < _GOLD:
        return ""
    return (f" At the finest frequency the curve is still {curve[-1]:.2f}: the pixel size limits the resolution, not "
            "the particles. Extract them again with smaller pixels.")


def _fsc_guides(resolution: float) -> list[Guide]:
    return [Guide(axis="y", value=_GOLD, text=f"{_GOLD}"),
            Guide(axis="x", value=1.0 / resolution, text=f"{resolution:.2f} Å")]


def _from_log(job: JobView) -> list[tuple[int, float]]:
    try:
        text = (job.path / "run.out").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return []
    return sorted({int(number): float(value) for number, value in _ITERATION.findall(text)}.items())


def _from_models(job: JobView) -> list[tuple[int, float]]:
    found = {}
    for path in sorted(job.path.glob("run*_it[0-9][0-9][0-9]*_model.star")):
        number = re.search(r"_it(\d+)(?:_half1)?_model", path.name)
        if number is None:
            continue
        try:
            general = read_blocks(path, ("model_general",)).get("model_general")
            value = float((general.value("rlnCurrentResolution") if general else None) or "nan")
        except (CryosnakeError, ValueError):
            continue
        if 0 < value < 900:
            found[int(number[1])] = value
    return sorted(found.items())


def _mollweide(rot: np.ndarray, tilt: np.ndarray, symmetry: str) -> tuple[np.ndarray, float, float]:
    """Return the map of directions in colour, its highest count over the mean, and the share of empty bins."""
    from matplotlib import colormaps

    directions = euler_to_matrix(rot, tilt, np.zeros_like(rot))[:, 2]
    directions = np.einsum("ni,mij->mnj", directions, operators(symmetry)).reshape(-1, 3)
    bins = int(np.clip(np.sqrt(len(directions) / 16), 10, 40))
    edges = np.linspace(-1.0, 1.0, bins + 1), np.linspace(-np.pi, np.pi, 2 * bins + 1)
    counts, _, _ = np.histogram2d(directions[:, 2], np.arctan2(directions[:, 1], directions[:, 0]), edges)
    counts /= max(counts.mean(), 1e-12)
    height = 180
    y, x = np.mgrid[1.0:-1.0:height * 1j, -1.0:1.0:2j * height]
    theta = np.arcsin(y)
    sine = np.clip((2 * theta + np.sin(2 * theta)) / np.pi, -1.0, 1.0)
    around = np.divide(x, np.cos(theta), out=np.full_like(x, 2.0), where=np.cos(theta) > 1e-9)
    row = np.clip(((sine + 1) / 2 * bins).astype(int), 0, bins - 1)
    column = np.clip(((around + 1) * bins).astype(int), 0, 2 * bins - 1)
    highest = float(counts.max())
    image = colormaps["magma"](counts / max(highest, 1e-12))[row, column]
    image[..., 3] = np.abs(around) <= 1.0
    return image, highest, float(np.mean(counts == 0))


def _particle(job: JobView, density: np.ndarray, pixel_size: float) -> np.ndarray:
    from cryosnake.numerics.map_resample import refit_mask
    from cryosnake.numerics.masking import automatic_threshold

    mask_file = job.values.get("mask")
    if mask_file and Path(mask_file).exists():
        mask, own = read_mrc(mask_file)
        fitted = mask if mask.shape == density.shape else refit_mask(mask, own, len(density), pixel_size)
        return np.asarray(fitted > 0.5)
    return np.asarray(density > automatic_threshold(density, pixel_size).value)


def _slice(name: str, image: np.ndarray, contrast: tuple[float, float] | None) -> Picture:
    return Picture(source=grey_uri(shrunk(image, 256)[0], contrast), words=name, width=image.shape[1],
                   height=image.shape[0])


def _coloured(name: str, image: np.ndarray, resolution: np.ndarray, inside: np.ndarray,
              limits: tuple[float, float]) -> Picture:
    from matplotlib import colormaps

    low, high = np.percentile(image, (0.5, 99.8))
    grey = np.clip((image - low) / max(high - low, 1e-12), 0.0, 1.0)[..., None]
    share = np.clip((resolution - limits[0]) / max(limits[1] - limits[0], 1e-6), 0.0, 1.0)
    colour = colormaps["turbo"](0.1 + 0.8 * share)[..., :3]
    mixed = np.where(inside[..., None], 0.35 * grey + 0.65 * colour * (0.35 + 0.65 * grey), grey)
    return Picture(source=colour_uri(mixed[::-1]), words=f"slice {name}", width=image.shape[1], height=image.shape[0])

