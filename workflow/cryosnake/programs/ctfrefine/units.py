"""Units of work: the particles of one optics group in one micrograph, what is computed of them, and what is kept."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from cryosnake.names import is_listed_name
from cryosnake.numerics.aberrations import even_phase, odd_phase
from cryosnake.numerics.backend import Array, namespace, to_numpy
from cryosnake.numerics.ctf import Microscope
from cryosnake.numerics.ctf_refine.defocus_fit import (
    Lens,
    Modes,
    amplitudes,
    evidence_of,
    fit_lens,
    phase_shapes,
    rest_of_phase,
    without_own_noise,
)
from cryosnake.numerics.ctf_refine.magnification import MagnificationSums, magnification_sums
from cryosnake.numerics.ctf_refine.phase_sums import PhaseSums, phase_sums
from cryosnake.numerics.ctf_refine.shells import noise_of_shells
from cryosnake.parallel.stacks import StackImages
from cryosnake.programs.ctfrefine.kept import read_kept, write_kept
from cryosnake.programs.ctfrefine.optics_state import GroupOptics, rows_of
from cryosnake.programs.ctfrefine.pixels import GroupPixels

AT_ONCE = 16  # particles
_LEAST_WEIGHT = 0.02  # of predictions that are used
Kept = TypeVar("Kept", PhaseSums, MagnificationSums, Lens, GroupOptics)


@dataclass(frozen=True, kw_only=True)
class Unit:
    """Particles of one optics group in one micrograph.

    Attributes
    ----------
    name : str
        Path of what is kept of it, below a job's directory, without an ending.
    group : int
        Index of its optics group.
    rows : (n,) int64
        In the table of particles.
    stack : StackImages
        Its images.
    matrices, origins, halves : (n, 3, 3), (n, 2), (n,)
        Poses; Å; 1 or 2.
    identity : str
        Names and contents of its images, and its poses.
    """

    name: str
    group: int
    rows: np.ndarray
    stack: StackImages
    matrices: np.ndarray
    origins: np.ndarray
    halves: np.ndarray
    identity: str

    def __len__(self) -> int:
        return len(self.rows)


@dataclass(frozen=True, kw_only=True)
class Seen:
    """What is taken as known of a unit: its pixels, microscope, optics and CTF parameters.

    `first_optics` and `first_lens` are those with which the half maps were made: the particles' own.
    """

    pixels: GroupPixels
    microscope: Microscope
    optics: GroupOptics
    lens: Lens
    first_optics: GroupOptics
    first_lens: Lens


def sum_phases(unit: Unit, seen: Seen) -> PhaseSums:
    """Return a unit's sums for aberrations, from predictions of the half map that a particle is not part of.

    Its own map contains its noise, which agrees with it as if there were no further aberration: at the resolution
    where the FSC is 0.5 as much as the signal does. Aberrations belong to all particles of both half sets.
    """
    kx, ky = seen.pixels.seen(seen.optics.magnification)
    found = None
    for part in _parts(len(unit)):
        images, predictions = _images(unit, seen, part), _predictions(unit, seen, part, 3 - unit.halves[part])
        phase = _phase(seen, part, np.zeros_like(kx), kx, ky)
        sums = phase_sums(images, predictions, namespace(images).asarray(phase))
        found = sums if found is None else found + sums
    assert found is not None
    return found


def sum_magnification(unit: Unit, seen: Seen) -> MagnificationSums:
    """Return a unit's sums for the magnification."""
    pixels, optics = seen.pixels, seen.optics
    kx, ky = pixels.seen(optics.magnification)
    even = even_phase(optics.even.tolist(), kx, ky)
    back = _turned_back(optics, kx, ky)
    found = None
    for part in _parts(len(unit)):
        images = _images(unit, seen, part)
        xp = namespace(images)
        images = images * xp.asarray(back)
        transfer = xp.asarray(np.sin(_phase(seen, part, even, kx, ky)))
        own = _predictions(unit, seen, part, unit.halves[part]) * transfer
        slopes = [xp.empty(own.shape, xp.complex64) for _ in "xy"]
        for half in (1, 2):
            mine = np.flatnonzero(unit.halves[part] == half)
            if len(mine):
                there = pixels.slopes(3 - half, unit.matrices[part][mine], optics.magnification)
                for slope, values in zip(slopes, there, strict=True):
                    slope[xp.asarray(mine)] = values
        amplitude = xp.asarray(_amplitude(seen, part, kx, ky))
        sums = magnification_sums(images, own, (slopes[0] * transfer * amplitude, slopes[1] * transfer * amplitude),
                                  pixels.places(optics.magnification), pixels.band.shell)
        found = sums if found is None else found + sums
    assert found is not None
    return found


def refined_lens(unit: Unit, seen: Seen, modes: Modes, reach: float) -> Lens:
    """Return a unit's refined CTF parameters, from each particle's own half map, without its own noise in it."""
    kx, ky = seen.pixels.seen(seen.optics.magnification)
    back = _turned_back(seen.optics, kx, ky)
    even = even_phase(seen.optics.even.tolist(), kx, ky)
    images, predictions = np.empty((2, len(unit), len(kx)), np.complex64)
    own_noise = np.zeros(len(kx))
    for part in _parts(len(unit)):
        images[part] = to_numpy(_images(unit, seen, part)) * back
        predictions[part] = to_numpy(_from_halves(seen, unit.matrices[part], unit.halves[part]))
        other = to_numpy(_from_halves(seen, unit.matrices[part], 3 - unit.halves[part]))
        own_noise += (np.abs(predictions[part]) ** 2 - (predictions[part] * other.conj()).real).sum(0)
    shell = seen.pixels.band.shell
    noise = noise_of_shells((np.abs(images) ** 2).sum(0), len(unit), shell)
    evidence = evidence_of(images, predictions, noise, rest_of_phase(seen.microscope, even, kx, ky), kx, ky)
    mean = np.bincount(shell, own_noise) / np.maximum(np.bincount(shell), 1) / len(unit)
    evidence = without_own_noise(evidence, np.maximum(mean, 0.0)[shell] / noise, _shares(unit, seen, kx, ky))
    return fit_lens(evidence, seen.lens, seen.microscope.wavelength, modes, reach)


def _shares(unit: Unit, seen: Seen, kx: np.ndarray, ky: np.ndarray) -> np.ndarray:
    """Return by how much the noise of each particle's half map agrees with it (n, pixels) float32."""
    first, whole = replace(seen, optics=seen.first_optics, lens=seen.first_lens), slice(0, len(unit))
    x, y = seen.pixels.seen(first.optics.magnification)
    even = even_phase(first.optics.even.tolist(), x, y)
    apart = (odd_phase(each.optics.odd.tolist(), (0.0, 0.0), None, *at) for each, at in
             ((seen, (kx, ky)), (first, (x, y))))
    weight = seen.pixels.weights(seen.optics.magnification)
    factor = np.cos(np.subtract(*apart)) / np.maximum(weight, _LEAST_WEIGHT)
    return np.asarray(_amplitude(first, whole, x, y) * np.sin(_phase(first, whole, even, x, y)) * factor, np.float32)


def agreement_with_halves(unit: Unit, seen: Seen, part: slice) -> tuple[np.ndarray, np.ndarray]:
    """Return how well images of a unit agree with their own and with the other half map, (n,): cosines of angles."""
    kx, ky = seen.pixels.seen(seen.optics.magnification)
    images = _images(unit, seen, part)
    xp = namespace(images)
    images = images * xp.asarray(_turned_back(seen.optics, kx, ky))
    even = even_phase(seen.optics.even.tolist(), kx, ky)
    transfer = xp.asarray(np.sin(_phase(seen, part, even, kx, ky)))

    def cosines(halves: np.ndarray) -> np.ndarray:
        predictions = _from_halves(seen, unit.matrices[part], halves) * transfer
        cross = (images.real * predictions.real + images.imag * predictions.imag).sum(1)
        size = xp.sqrt((xp.abs(images) ** 2).sum(1) * (xp.abs(predictions) ** 2).sum(1))
        return np.asarray(to_numpy(cross / xp.maximum(size, 1e-30)), np.float64)

    return cosines(unit.halves[part]), cosines(3 - unit.halves[part])


def _parts(count: int) -> list[slice]:
    return [slice(begin, min(begin + AT_ONCE, count)) for begin in range(0, count, AT_ONCE)]


def _images(unit: Unit, seen: Seen, part: slice) -> Array:
    places = np.arange(len(unit))[part]
    return seen.pixels.images(unit.stack, places, unit.origins[part], seen.pixels.references.transforms[0])


def _predictions(unit: Unit, seen: Seen, part: slice, halves: np.ndarray) -> Array:
    """Return predictions from half maps (n,) 1 or 2, with the amplitudes of the particles' CTFs."""
    result = _from_halves(seen, unit.matrices[part], halves)
    result *= namespace(result).asarray(_amplitude(seen, part, *seen.pixels.seen(seen.optics.magnification)))
    return result


def _from_halves(seen: Seen, matrices: np.ndarray, halves: np.ndarray) -> Array:
    """Return predictions (n, pixels) complex64, each from the half map given."""
    xp = namespace(seen.pixels.references.transforms[0])
    result = xp.empty((len(halves), len(seen.pixels.band.kx)), xp.complex64)
    for half in (1, 2):
        mine = np.flatnonzero(halves == half)
        if len(mine):
            result[xp.asarray(mine)] = seen.pixels.predictions(half, matrices[mine], seen.optics.magnification)
    return result


def _amplitude(seen: Seen, part: slice, kx: np.ndarray, ky: np.ndarray) -> np.ndarray:
    """Return scale · exp(−B k² / 4), float32 (n, pixels), or (n, 1) without B-factors."""
    return amplitudes(rows_of(seen.lens, part), kx, ky)


def _phase(seen: Seen, part: slice, even: np.ndarray, kx: np.ndarray, ky: np.ndarray) -> np.ndarray:
    """Return the phases of the CTFs, float32 (n, pixels)."""
    shapes = phase_shapes(kx, ky, seen.microscope.wavelength)
    return np.asarray(seen.lens.terms[part] @ shapes + rest_of_phase(seen.microscope, even, kx, ky), np.float32)


def _turned_back(optics: GroupOptics, kx: np.ndarray, ky: np.ndarray) -> np.ndarray:
    return np.asarray(np.exp(-1j * odd_phase(optics.odd.tolist(), (0.0, 0.0), None, kx, ky)), np.complex64)


def signature(unit: Unit, seen: Seen, settings: str) -> str:
    """Return a digest of everything that a unit's result depends on."""
    digest = hashlib.sha256(f"{unit.identity}|{seen.pixels.references.identity}|{settings}|{seen.microscope}".encode())
    lenses = (values for lens in (seen.lens, seen.first_lens) for values in (lens.terms, lens.b_factor, lens.scale))
    for values in (seen.optics.values(), seen.first_optics.values(), *lenses, seen.pixels.band.kx,
                   seen.pixels.band.ky):
        digest.update(np.ascontiguousarray(values).tobytes())
    return digest.hexdigest()


def kept_result(kind: type[Kept], folders: Sequence[Path], name: str, wanted: str) -> Kept | None:
    """Return a result from the first folder that has it, made from the same; None if none has."""
    found = next((arrays for folder in folders if (arrays := read_kept(folder / name, wanted)) is not None), None)
    if found is None or not {each.name for each in fields(kind)} <= set(found):
        return None
    return kind(**{each.name: _plain(found[each.name]) for each in fields(kind)})


def _plain(values: np.ndarray) -> Any:
    return values.item() if values.ndim == 0 else values


def keep(result: PhaseSums | MagnificationSums | Lens | GroupOptics, folder: Path, name: str, made_from: str) -> None:
    """Write a result below a folder, complete or not at all."""
    write_kept(folder / name, made_from, {each.name: np.asarray(getattr(result, each.name)) for each in fields(result)})


def kept_name(micrograph: str, group: int, alone: bool) -> str:
    """Return the path of what is kept of a micrograph below a job directory, without ending.

    >>> kept_name("MotionCorr/job002/Movies/a.mrc", 1, True)
    'Movies/a_optics-group_1'
    """
    parts = Path(micrograph).with_suffix("").parts
    jobs = [place for place, part in enumerate(parts) if part.startswith("job") and part[3:].isdigit()]
    inner = "/".join(parts[jobs[-1] + 1 :] if jobs and jobs[-1] + 1 < len(parts) else parts)
    if not alone or not is_listed_name(inner):
        inner = "kept/" + hashlib.sha256(micrograph.encode()).hexdigest()[:16]
    return f"{inner}_optics-group_{group}"
