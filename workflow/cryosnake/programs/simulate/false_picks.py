"""False picks among simulated particles: empty ice, parts of neighbours, lumps of ice, edges of the film, blobs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pandas as pd

from cryosnake.numerics.ctf import Defocus
from cryosnake.numerics.euler import euler_to_matrix
from cryosnake.simulation.atoms import Atoms, diameter
from cryosnake.simulation.ice import carbon_edge, contamination
from cryosnake.simulation.micrograph import (
    Optics,
    contrast_images,
    delocalised_box,
    optical_transfer,
    random_poses,
)

EMPTY, NEIGHBOUR, CONTAMINATION, EDGE, BLOB = 1, 2, 3, 4, 5  # kinds of false picks; 0 is a particle
USUAL = (EMPTY, NEIGHBOUR, CONTAMINATION)


def false_kinds(rng: np.random.Generator, count: int, share: float, kinds: Sequence[int] = USUAL) -> np.ndarray:
    """Return the kind (count,) of each pick: round(share · count) false ones at random, equal numbers of each kind."""
    result = np.zeros(count, np.int64)
    chosen = rng.permutation(count)[: round(share * count)]
    result[chosen] = np.asarray(kinds)[np.arange(len(chosen)) % len(kinds)]
    return result


def replace_false_picks(signal: np.ndarray, kinds: np.ndarray, rng: np.random.Generator, atoms: Atoms,
                        table: pd.DataFrame, optics: Optics, b_factor: float) -> None:
    """Replace the noise-free images (n, box, box) of false picks, in place.

    Empty ones are 0. The box of a neighbour lies between one to three particles, 0.7 to 1.1 diameters away from each:
    particles of a crowded micrograph picked as one. Contamination is `ice.contamination` under the pick's own CTF: what
    the lump removes from the beam. An edge is the edge of the supporting film, 1 to 4 times as contrasty as particles;
    a blob is a drop about the particle's size, where a particle would be, at 0.5 to 3 times its contrast.
    """
    spread = float(signal[kinds == 0].std())
    signal[kinds == EMPTY] = 0.0
    for row in np.flatnonzero(kinds == NEIGHBOUR).tolist():
        signal[row] = _neighbours(rng, signal.shape[-1], atoms, optics, _defocus(table, row), b_factor)
    box = signal.shape[-1]
    for row in np.flatnonzero(kinds == CONTAMINATION).tolist():
        signal[row] = _absorbed(_lump(rng, box, optics), optics, _defocus(table, row))
    for row in np.flatnonzero(kinds == EDGE).tolist():
        image = _absorbed(carbon_edge(rng, (2 * box, 2 * box), rng.uniform(0.35, 0.65)), optics, _defocus(table, row))
        signal[row] = (image - image.mean()) / image.std() * spread * rng.uniform(1.0, 4.0)
    for row in np.flatnonzero(kinds == BLOB).tolist():
        image = _absorbed(_blob(rng, box, optics), optics, _defocus(table, row))
        signal[row] = image / image.std() * spread * rng.uniform(0.5, 3.0)


def _defocus(table: pd.DataFrame, row: int) -> Defocus:
    labels = ("rlnDefocusU", "rlnDefocusV", "rlnDefocusAngle", "rlnPhaseShift")
    return Defocus(*(float(table[label].iloc[row]) for label in labels))


def _neighbours(rng: np.random.Generator, box: int, atoms: Atoms, optics: Optics, defocus: Defocus, b_factor: float,
                ) -> np.ndarray:
    number = int(rng.integers(1, 4))
    around = rng.uniform(0.0, 360.0) + np.arange(number) * 360.0 / 3.0 + rng.uniform(-25.0, 25.0, number)
    away = rng.uniform(0.7, 1.1, number) * diameter(atoms) / optics.pixel_size
    places = np.rint(np.stack([np.cos(np.radians(around)), np.sin(np.radians(around))], 1) * away[:, None]).astype(int)
    room = max(2 * box, delocalised_box(atoms, optics, float(defocus.u)))
    room += room % 2
    images = contrast_images(atoms, euler_to_matrix(*random_poses(rng, number).T), np.zeros((number, 2)), room, optics,
                             defocus, b_factor)
    result = np.zeros((box, box), np.float32)
    for image, (x, y) in zip(images, places, strict=True):
        result += _moved_centre(image, int(x), int(y), box)
    return result


def _moved_centre(image: np.ndarray, x: int, y: int, box: int) -> np.ndarray:
    """Return the middle (box, box) of an image whose centre was moved to (x, y); pixels from outside are 0."""
    reach = max(abs(x), abs(y)) + box // 2
    padded = np.pad(image, max(0, reach - image.shape[0] // 2))
    start = padded.shape[0] // 2 - box // 2
    return np.asarray(padded[start - y : start - y + box, start - x : start - x + box])


def _lump(rng: np.random.Generator, box: int, optics: Optics) -> np.ndarray:
    """Return what a lump of contaminating ice removes from the beam, (2 box, 2 box); it lies in the middle half."""
    lost = np.zeros((2 * box, 2 * box), np.float32)
    middle = slice(box // 2, box // 2 + box)
    lost[middle, middle] = 1.0 - contamination(rng, (box, box), optics.pixel_size, 1)
    return lost


def _blob(rng: np.random.Generator, box: int, optics: Optics) -> np.ndarray:
    """Return the thickness (2 box, 2 box) of a drop of 25 to 70 Å radius, 8 Å off the centre."""
    y, x = np.mgrid[: 2 * box, : 2 * box] - box
    radius, flat, turn = rng.uniform(25.0, 70.0) / optics.pixel_size, rng.uniform(0.6, 1.0), rng.uniform(0.0, np.pi)
    dx, dy = rng.normal(0.0, 8.0 / optics.pixel_size, 2)
    u = (x - dx) * np.cos(turn) + (y - dy) * np.sin(turn)
    v = ((y - dy) * np.cos(turn) - (x - dx) * np.sin(turn)) / flat
    return np.sqrt(np.clip(1.0 - (u**2 + v**2) / radius**2, 0.0, None)).astype(np.float32)


def _absorbed(lost: np.ndarray, optics: Optics, defocus: Defocus) -> np.ndarray:
    """Return the image, the middle half (box, box) float32, of a loss of electrons, (2 box, 2 box)."""
    # Loss of electrons is pure amplitude contrast: its CTF, over the value at zero frequency.
    pure = replace(optics, microscope=replace(optics.microscope, amplitude_contrast=0.999), b_factor=0.0)
    room = lost.shape[0]
    spectrum = np.fft.rfft2(lost) * optical_transfer(lost.shape, pure, defocus)
    middle = slice(room // 4, room // 4 + room // 2)
    return np.fft.irfft2(spectrum, s=lost.shape)[middle, middle].astype(np.float32)
