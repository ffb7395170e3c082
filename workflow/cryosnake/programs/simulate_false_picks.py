"""False picks among simulated particles: empty ice, parts of neighbours, lumps of contaminating ice."""

from __future__ import annotations

import numpy as np
import pandas as pd

from cryosnake.numerics.euler import euler_to_matrix
from cryosnake.numerics.simulation.atoms import Atoms, diameter
from cryosnake.numerics.simulation.ice import contamination
from cryosnake.numerics.simulation.micrograph import (
    Defocus,
    Optics,
    contrast_images,
    delocalised_box,
    optical_transfer,
    random_poses,
)

EMPTY, NEIGHBOUR, CONTAMINATION = 1, 2, 3  # kinds of false picks; 0 is a particle


def false_kinds(rng: np.random.Generator, count: int, share: float) -> np.ndarray:
    """Return the kind (count,) of each pick: round(share · count) false ones at random places, equally many kinds."""
    kinds = np.zeros(count, np.int64)
    chosen = rng.permutation(count)[: round(share * count)]
    kinds[chosen] = 1 + np.arange(len(chosen)) % 3
    return kinds


def replace_false_picks(signal: np.ndarray, kinds: np.ndarray, rng: np.random.Generator, atoms: Atoms,
                        table: pd.DataFrame, optics: Optics, b_factor: float) -> None:
    """Replace the noise-free images (n, box, box) of false picks, in place.

    Empty ones are 0. The box of a neighbour lies between one to three particles, 0.7 to 1.1 diameters away from each:
    two picks of a crowded micrograph taken for one. Contamination is `ice.contamination` under the pick's own CTF: what
    the lump takes away from the beam.
    """
    signal[kinds == EMPTY] = 0.0
    for row in np.flatnonzero(kinds == NEIGHBOUR).tolist():
        signal[row] = _neighbours(rng, signal.shape[-1], atoms, optics, _defocus(table, row), b_factor)
    for row in np.flatnonzero(kinds == CONTAMINATION).tolist():
        signal[row] = _lump(rng, signal.shape[-1], optics, _defocus(table, row))


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
    """Return the middle (box, box) of an image whose centre was moved to (x, y); what comes from outside is 0."""
    reach = max(abs(x), abs(y)) + box // 2
    padded = np.pad(image, max(0, reach - image.shape[0] // 2))
    start = padded.shape[0] // 2 - box // 2
    return np.asarray(padded[start - y : start - y + box, start - x : start - x + box])


def _lump(rng: np.random.Generator, box: int, optics: Optics, defocus: Defocus) -> np.ndarray:
    room = 2 * box
    lost = np.zeros((room, room), np.float32)
    lost[box // 2 : box // 2 + box, box // 2 : box // 2 + box] = 1.0 - contamination(rng, (box, box), optics.pixel_size,
                                                                                  1)
    # Loss of electrons is amplitude contrast alone: the CTF of that, over its value at zero frequency.
    pure = Optics(optics.pixel_size, optics.voltage, optics.cs, 0.999, b_factor=0.0)
    spectrum = np.fft.rfft2(lost) * optical_transfer((room, room), pure, defocus)
    return np.fft.irfft2(spectrum, s=(room, room))[box // 2 : box // 2 + box, box // 2 : box // 2 + box].astype(
        np.float32)
