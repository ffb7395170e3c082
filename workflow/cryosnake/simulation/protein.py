"""A pseudo-protein that needs no data file: helices, strands and loops folded into domains, with side chains."""

from __future__ import annotations

import math

import numpy as np
from scipy.spatial import cKDTree

from cryosnake.numerics.symmetry import operators
from cryosnake.simulation.atoms import Atoms, make_atoms, symmetrise
from cryosnake.simulation.domains import domain_centres

STEP = 3.8  # Å between consecutive CA atoms
_RESIDUE_VOLUME = 134.0  # Å³: 110 Da × 1.21 Å³/Da
_SLACK = 1.3  # volume of a domain's sphere relative to its residues
_TRIALS = 96  # orientations tried per segment
_SIDE_ATOMS = np.array([0, 1, 2, 2, 3, 3, 3, 4, 4, 4, 4, 4, 5, 5, 5, 6, 7, 7, 8, 10])  # heavy, one per amino acid


def pseudo_protein(symmetry: str = "D2", residues: int = 960, seed: int = 1) -> Atoms:
    """Return the atoms of an invented, protein-like complex.

    A chain of CA atoms grows segment by segment (loop, then α-helix or β-strand) as a self-avoiding walk that also
    avoids its symmetry mates; each domain of about 200 residues is kept in a sphere. Backbone and side-chain atoms
    are added afterwards. Only bond lengths, helix (3.6 residues and 5.4 Å per turn, right-handed), strand (3.3 Å per
    residue) and density are those of proteins (Pauling, Corey & Branson 1951).

    Parameters
    ----------
    symmetry : str
        Point group, in RELION's setting.
    residues : int
        Residues of one asymmetric unit; 110 Da each.
    seed : int
        The same seed gives the same protein.

    Returns
    -------
    Atoms
        About eight heavy atoms per residue, all asymmetric units; the axes pass through the origin.
    """
    rng = np.random.default_rng(seed)
    group = operators(symmetry)
    trace = _grow_chain(rng, residues, group)
    if len(group) == 1:
        trace -= trace.mean(0)
    positions, elements = _all_atoms(rng, trace)
    return symmetrise(make_atoms(positions, elements), group)


def _segment(rng: np.random.Generator) -> np.ndarray:
    """Return the CA atoms (n, 3) of a helix or a strand along z, the first at the origin."""
    if rng.random() < 0.6:
        index = np.arange(rng.integers(9, 22))
        turn = np.radians(100.0) * index
        atoms = np.stack([2.3 * np.cos(turn), 2.3 * np.sin(turn), 1.5 * index], 1)
    else:
        index = np.arange(rng.integers(5, 10))
        atoms = np.stack([0.95 * (-1.0) ** index, np.zeros(len(index)), 3.3 * index], 1)
    return atoms - atoms[0]


def _random_rotations(rng: np.random.Generator, count: int) -> np.ndarray:
    """Return rotation matrices (count, 3, 3), uniform over all rotations (Shoemake 1992)."""
    q = rng.standard_normal((count, 4))
    w, x, y, z = (q / np.linalg.norm(q, axis=1, keepdims=True)).T
    return np.stack([
        np.stack([1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)], -1),
        np.stack([2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)], -1),
        np.stack([2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)], -1)], -2)


def _trial_segments(rng: np.random.Generator, end: np.ndarray) -> np.ndarray:
    """Return (_TRIALS, n, 3) continuations of a chain that ends at `end`: a loop, then a helix or strand."""
    loop = int(rng.integers(2, 6))
    directions = rng.standard_normal((_TRIALS, loop, 3))
    for i in range(1, loop):  # a loop bends by up to about a right angle per residue
        directions[:, i] = directions[:, i] / np.linalg.norm(directions[:, i], axis=1, keepdims=True)
        directions[:, i] += 0.8 * directions[:, i - 1] / np.linalg.norm(directions[:, i - 1], axis=1, keepdims=True)
    steps = STEP * directions / np.linalg.norm(directions, axis=2, keepdims=True)
    loops = end + np.cumsum(steps, 1)
    turned = np.einsum("kij,nj->kni", _random_rotations(rng, _TRIALS), _segment(rng)[1:])
    return np.concatenate([loops, loops[:, -1:] + turned], 1)


def _admissible(trial: np.ndarray, placed: np.ndarray, group: np.ndarray) -> np.ndarray:
    """Return which trial segments (k, n, 3) clash neither with the chain, nor its mates, nor their own mates."""
    count, length = trial.shape[:2]
    mates = np.einsum("gij,nj->gni", group, placed).reshape(-1, 3)
    nearest = np.asarray(cKDTree(mates).query(trial.reshape(-1, 3), distance_upper_bound=8.0)[0])
    distance = nearest.reshape(count, length)
    free = (distance[:, 0] > 3.6) & (distance[:, 1] > 4.5) & (distance[:, 2:].min(1) > 4.7)
    for operator in group[1:]:  # a segment across an axis would run into its own mate
        if not free.any():
            break
        own = np.einsum("ij,knj->kni", operator, trial[free])
        gap = np.linalg.norm(trial[free][:, :, None] - own[:, None], axis=3).min((1, 2))
        free[np.flatnonzero(free)[gap < 4.7]] = False
    return free


def _grow_chain(rng: np.random.Generator, residues: int, group: np.ndarray) -> np.ndarray:
    """Return the CA atoms (residues, 3)."""
    count = max(1, round(residues / 205))
    quota = residues / count
    radius = (3.0 * quota * _RESIDUE_VOLUME * _SLACK / (4.0 * math.pi)) ** (1.0 / 3.0)
    centres = domain_centres(rng, count, radius, group)
    pieces = [centres[0][None]]
    allowed, failures = radius, 0
    while (grown := sum(map(len, pieces))) < residues:
        centre = centres[min(int(grown / quota), count - 1)]
        trial = _trial_segments(rng, pieces[-1][-1])
        excess = np.linalg.norm(trial - centre, axis=2) / allowed
        cost = np.clip(excess - 1.0, 0.0, None).mean(1) + 0.02 * rng.random(_TRIALS) + 0.05 * excess.mean(1)
        free = _admissible(trial, np.concatenate(pieces), group)
        cost[~free] = np.inf
        best = int(cost.argmin())
        moving = np.linalg.norm(pieces[-1][-1] - centre) > allowed  # on the way from the last domain to this one
        if cost[best] < (0.55 if moving else 0.12):
            pieces.append(trial[best])
            continue
        failures += 1
        if failures % 60 == 0:  # stuck: go back some segments, and finally allow more space
            del pieces[max(1, len(pieces) - int(rng.integers(1, 4))) :]
            allowed *= 1.01
    return np.concatenate(pieces)[:residues]


def _unit(vectors: np.ndarray) -> np.ndarray:
    return vectors / np.maximum(np.linalg.norm(vectors, axis=-1, keepdims=True), 1e-9)


def _all_atoms(rng: np.random.Generator, trace: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return positions (m, 3) and elements (m,) of the backbone and side chains on a CA trace (n, 3)."""
    along = _unit(np.diff(trace, axis=0))  # (n - 1, 3)
    normal = _unit(np.cross(along[:-1], along[1:]))
    normal = np.concatenate([normal, normal[-1:]])
    start = trace[:-1]
    # The flat peptide group between two CA atoms, in its own plane: C-N 1.34 Å, C=O 1.23 Å, N-CA 1.48 Å.
    carbon = start + 1.42 * along + 0.54 * normal
    nitrogen = start + 2.37 * along - 0.40 * normal
    oxygen = start + 1.07 * along + 1.72 * normal
    outward = _unit(along[:-1] - along[1:])  # away from both neighbours
    root = trace[1:-1]
    side = _unit(0.83 * outward + 0.56 * normal[:-1])
    sizes = rng.choice(_SIDE_ATOMS, len(root))
    positions, elements = [trace, carbon, nitrogen, oxygen], ["C" * len(trace), "C" * len(start), "N" * len(start),
                                                             "O" * len(start)]
    atom = root
    for depth in range(int(sizes.max())):
        bend = 0.7 if depth else 0.0
        direction = _unit(side + bend * _unit(rng.standard_normal(side.shape)))
        atom = atom + 1.52 * direction
        has = sizes > depth
        positions.append(atom[has])
        polar = (rng.random(int(has.sum())) < 0.25) & (depth > 0)
        elements.append("".join(np.where(polar, "O", "C")))
    return np.concatenate(positions), np.array(list("".join(elements)))
