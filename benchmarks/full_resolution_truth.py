"""What is known of the particles of benchmarks/full_resolution.py, and how far a program's result is from it.

Errors of phases are relative to their RMS, without what an optics group cannot tell from something else: shift, or
piston, defocus and astigmatism. All paths are below the current folder.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path

import numpy as np

from cryosnake.io.mrc import read_images, read_mrc
from cryosnake.io.star import read_star
from cryosnake.numerics.alignment import model_map_fsc
from cryosnake.numerics.fsc import shell_index
from cryosnake.programs.polish.motion_metadata import read_motion
from cryosnake.programs.refinement.particles import ParticleSet, read_particles
from cryosnake.programs.subtract.images import subtrahend
from cryosnake.programs.subtract.references import References

IMAGES, TRUE_MAP, MASK, KEPT = "truth/images.star", "truth/map.mrc", "mask/mask.mrc", "kept.mrc"
_AT_ONCE = 100


def map_figures(root: str, postprocess: str) -> dict[str, float]:
    """Return the resolutions in Å of half maps root_half1_class001_unfil.mrc …: with the truth, and as said."""
    halves = [read_mrc(f"{root}_half{half}_class001_unfil.mrc") for half in (1, 2)]
    truth = model_map_fsc(halves[0][0] + halves[1][0], read_mrc(TRUE_MAP)[0], halves[0][1], read_mrc(MASK)[0])
    said = read_star(postprocess)["general"]["rlnFinalResolution"].iloc[0]
    return {"FSC 0.143, Å": float(said), "FSC 0.5 with the truth, Å": truth.resolution,
            "mean FSC with the truth": float(truth.curve[1:].mean())}


def _plane(box: int, pixel_size: float, limit: float) -> tuple[np.ndarray, np.ndarray]:
    axis = np.fft.fftfreq(box, pixel_size)
    kx, ky = (values.ravel() for values in np.meshgrid(axis, axis))
    inside = (np.hypot(kx, ky) < 1.0 / limit) & (np.hypot(kx, ky) > 1.0 / 30.0)
    return kx[inside], ky[inside]


def _free(kx: np.ndarray, ky: np.ndarray) -> dict[str, np.ndarray]:
    """Return what cannot be told from shifts, or from defoci of the particles: (pixels, shapes)."""
    return {"odd": np.stack([kx, ky], 1),
            "even": np.stack([np.ones_like(kx), kx**2 + ky**2, kx**2 - ky**2, kx * ky], 1)}


def _without(values: np.ndarray, shapes: np.ndarray) -> np.ndarray:
    return np.asarray(values - shapes @ np.linalg.lstsq(shapes, values, rcond=None)[0])


def lens_figures(star: str, limit: float) -> dict[str, float]:
    """Return the errors of a particle file to `limit` Å: phases (relative), magnification, defoci (Å).

    The mean magnification is apart: a map made of the particles has it too, so that nothing in them tells it.
    """
    truth, found = read_particles(IMAGES), read_particles(star)
    kx, ky = _plane(truth.box, truth.pixel_size, limit)
    values = {}
    for kind, shapes in _free(kx, ky).items():
        true, fitted = (_without(getattr(each.groups[0], f"{kind}_phase")(kx, ky), shapes) for each in (truth, found))
        values[f"{kind} phase"] = float(np.sqrt(((fitted - true) ** 2).mean() / (true**2).mean()))
    true, fitted = (each.groups[0].magnification for each in (truth, found))
    round_true, round_fitted = (np.sqrt(np.linalg.det(matrix)) for matrix in (true, fitted))
    values["magnification"] = float(np.abs(fitted / round_fitted - true / round_true).max())
    values["its mean"] = float(round_fitted - round_true)
    rows = found.table.set_index("rlnImageName").loc[truth.table["rlnImageName"]]
    off = sum(0.5 * (rows[label].to_numpy() - truth.column(label)) for label in ("rlnDefocusU", "rlnDefocusV"))
    return values | {"defocus mean, Å": float(np.mean(off)), "defocus spread, Å": float(np.std(off))}


def least_errors(limit: float) -> dict[str, float]:
    """Return the Cramér-Rao bounds of the phases' errors, as in `lens_figures`: no unbiased fit has smaller ones.

    From the power of signal and noise in all particles; the defocus of each is taken to be known.
    """
    truth = read_particles(IMAGES)
    signal, noise = _powers()
    kx, ky = _plane(truth.box, truth.pixel_size, limit)
    shell = np.rint(np.hypot(kx, ky) * truth.box * truth.pixel_size).astype(int)
    # A phase δ changes a transform S by i S δ, and half of the noise's power is along it: information 2 |S|² / noise,
    # of which each of the two half planes has half. Even phases change cosines, whose squares have the same mean.
    known = len(truth) * signal[shell] / noise[shell]
    values = {}
    x, y = kx, ky
    r2 = x * x + y * y
    bases = {"odd": np.stack([x, y, (3 * x * x - y * y) * y, (x * x - 3 * y * y) * x, r2 * x, r2 * y], 1),
             "even": np.stack([np.ones_like(x), r2, x * x - y * y, x * y, r2**2, r2 * (x * x - y * y), r2 * x * y,
                               (x * x - y * y) ** 2 - 4 * x * x * y * y, x * y * (x * x - y * y)], 1)}
    for kind, basis in bases.items():
        basis = basis / np.linalg.norm(basis, axis=0)
        free = _free(kx, ky)[kind]
        covariance = np.linalg.inv(basis.T @ (basis * known[:, None]))
        seen = _without(basis, free)
        true = _without(getattr(truth.groups[0], f"{kind}_phase")(kx, ky), free)
        values[f"least {kind} phase"] = float(np.sqrt(
            np.einsum("pi,ij,pj->p", seen, covariance, seen).mean() / (true**2).mean()))
    return values


def _predictor(truth: ParticleSet, density: np.ndarray, pixel_size: float) -> References:
    return References(maps=((density,),), pixel_size=pixel_size, scales=({},), norms=(1.0,), ctf=True,
                      intact_first_peak=False, particles="", words="")


@cache
def _powers() -> tuple[np.ndarray, np.ndarray]:
    """Return the mean power (shells,) of signal, with the CTF, and of noise in the particles' transforms."""
    truth = read_particles(IMAGES)
    fall, index = _fall()
    shells = len(fall)
    density, pixel_size = read_mrc(TRUE_MAP)
    taken = subtrahend(truth, _predictor(truth, density, pixel_size), np.zeros_like(density), "cpu")
    sums = np.zeros((2, shells))
    for rows, images in _blocks(truth):
        expected = np.fft.rfft2(taken.predictions(truth.groups[0], rows)) * fall[np.minimum(index, shells - 1)]
        rest = np.fft.rfft2(images) - expected
        for total, values in zip(sums, (expected, rest), strict=True):
            total += np.bincount(index.ravel(), (np.abs(values) ** 2).sum(0).ravel(), index.max() + 1)[:shells]
    count = np.bincount(index.ravel())[:shells] * len(truth)
    return sums[0] / count, sums[1] / count


@cache
def _fall() -> tuple[np.ndarray, np.ndarray]:
    """Return how much of the true signal is in the images (shells,): damage, weights of frames, blur; and the shells.

    The second is (box, box / 2 + 1), of a half transform.
    """
    truth = read_particles(IMAGES)
    density, pixel_size = read_mrc(TRUE_MAP)
    taken = subtrahend(truth, _predictor(truth, density, pixel_size), np.zeros_like(density), "cpu")
    index, shells = shell_index(truth.box, 2), truth.box // 2 + 1
    cross, power = np.zeros(index.max() + 1), np.zeros(index.max() + 1)
    for rows, images in _blocks(truth):
        expected = np.fft.rfft2(taken.predictions(truth.groups[0], rows))
        cross += np.bincount(index.ravel(), (np.fft.rfft2(images) * expected.conj()).real.sum(0).ravel())
        power += np.bincount(index.ravel(), (np.abs(expected) ** 2).sum(0).ravel())
    return (cross / np.maximum(power, 1e-30))[:shells], index


def _blocks(particles: ParticleSet):  # type: ignore[no-untyped-def]
    names = particles.table["rlnImageName"].tolist()
    for begin in range(0, len(names), _AT_ONCE):
        rows = np.arange(begin, min(begin + _AT_ONCE, len(names)))
        yield rows, read_images([names[row] for row in rows])


def subtraction_figures(star: str) -> dict[str, float]:
    """Return the RMS of (what was taken - what should have been), relative to that of what should have been.

    What should have been is the projection of the true map outside KEPT, at the true pose, through the true lens, with
    the fall of the signal in these images and the grey scale that the program has given them.
    """
    truth, after = read_particles(IMAGES), read_star(star)["particles"].set_index("rlnImageOriginalName")
    density, pixel_size = read_mrc(TRUE_MAP)
    taken = subtrahend(truth, _predictor(truth, density, pixel_size), read_mrc(KEPT)[0], "cpu")
    fall, index = _fall()
    shells = len(fall)
    norms = after["rlnNormCorrection"].to_numpy(float)
    scale = dict(zip(after.index, norms.mean() / norms, strict=True))
    error = whole = 0.0
    for rows, images in _blocks(truth):
        names = truth.table["rlnImageName"].iloc[rows].tolist()
        spectra = np.fft.rfft2(taken.predictions(truth.groups[0], rows)) * fall[np.minimum(index, shells - 1)]
        should = np.fft.irfft2(spectra, s=images.shape[1:])
        grey = np.array([scale[name] for name in names])[:, None, None]
        was = images * grey - read_images(after.loc[names, "rlnImageName"].tolist())
        error += float(((was - should * grey) ** 2).sum())
        whole += float(((should * grey) ** 2).sum())
    return {"subtraction residual": float(np.sqrt(error / whole))}


def track_figures(folder: str, metadata: str | None = None) -> dict[str, float]:
    """Return the RMS distance in Å of tracks from the true ones, without each particle's mean, which is its origin.

    `folder` has X_tracks.star for each movie; with `metadata`, the tracks are those of the motion correction there.
    """
    table = read_star(IMAGES)["particles"]
    wrong = []
    for name, mine in table.groupby("rlnMicrographName", sort=False):
        stem = Path(str(name)).stem
        true = read_motion(f"truth/motion/{stem}.star")
        places = mine[["rlnCoordinateX", "rlnCoordinateY"]].to_numpy(float)
        frames = np.arange(1, len(true.shifts) + 1)
        if metadata:
            found = read_motion(f"{metadata}/{stem}.star").displacements(frames, places) * true.pixel_size
        else:
            tables = read_star(next(Path(folder).rglob(f"{stem}_tracks.star")))
            found = np.stack([tables[str(number)][["rlnOriginXAngst", "rlnOriginYAngst"]].to_numpy(float)
                              for number in range(len(mine))])
        off = found - true.displacements(frames, places) * true.pixel_size
        wrong.append((off - off.mean(1, keepdims=True)).reshape(-1, 2))
    return {"tracks, Å": float(np.sqrt((np.concatenate(wrong) ** 2).sum(1).mean()))}
