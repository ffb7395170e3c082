"""Half maps whose resolution varies in space, with known truth: a rigid part, a flexible part, white noise."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from cryosnake.numerics.filters import apply_filter, low_pass
from cryosnake.numerics.masking import automatic_threshold, solvent_mask
from cryosnake.simulation.density import density_from_atoms
from cryosnake.simulation.protein import pseudo_protein


@dataclass(frozen=True, kw_only=True)
class FlexibleHalves:
    """Half maps, their noise-free density, solvent mask and flexibility (0 rigid … 1 flexible), (box, box, box)."""

    half1: np.ndarray
    half2: np.ndarray
    truth: np.ndarray
    mask: np.ndarray
    flexibility: np.ndarray


def flexible_halves(box: int, pixel_size: float, *, residues: int = 700, noise: float = 1.5,
                    rigid_b_factor: float = 60.0, flexible_b_factor: float = 310.0, seed: int = 1) -> FlexibleHalves:
    """Return two half maps of a pseudo-protein that is blurred on the side of positive x.

    Parameters
    ----------
    box, pixel_size : int, float
        Voxels per axis; Å.
    residues : int
        Size of the protein.
    noise : float
        Standard deviation of each half's white noise, relative to that of the density in the mask.
    rigid_b_factor, flexible_b_factor : float
        Å²; disorder of the two sides. Between them the density changes over about 16 Å.
    seed : int
        For protein and noise.
    """
    rng = np.random.default_rng(seed)
    rigid = density_from_atoms(pseudo_protein("C1", residues, seed), box, pixel_size, b_factor=rigid_b_factor)
    more = flexible_b_factor - rigid_b_factor
    blurred = apply_filter(rigid, lambda k: np.exp(-0.25 * more * (k / (box * pixel_size)) ** 2))
    x = (np.arange(box) - box // 2) * pixel_size
    flexibility = np.broadcast_to(1.0 / (1.0 + np.exp(-x / 4.0)), (box,) * 3).astype(np.float32)
    truth = rigid * (1.0 - flexibility) + blurred * flexibility
    smooth = low_pass(truth, 12.0, pixel_size)
    mask = solvent_mask(smooth > automatic_threshold(smooth, pixel_size).value, 3.0, 5.0)
    sigma = noise * float(truth[mask > 0.5].std())
    half1, half2 = (truth + sigma * rng.standard_normal(truth.shape, dtype=np.float32) for _ in range(2))
    return FlexibleHalves(half1=half1, half2=half2, truth=truth, mask=mask, flexibility=flexibility)
