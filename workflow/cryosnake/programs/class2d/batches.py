"""Particles of each update of a 2D classification: all of them, or growing mini-batches.

Mini-batches make it stochastic: the sums of earlier batches fade (on-line expectation maximisation: Cappé & Moulines
2009, J. R. Stat. Soc. B 71, 593), as in RELION's VDAM (Kimanius et al. 2021, Biochem. J. 478, 4169) and cryoSPARC's
2D classification. The last iterations use all particles, so that all are assigned by the same averages.
"""

from __future__ import annotations

import numpy as np

WHOLE_AT_END = 3  # iterations over all particles that end a run with mini-batches
_STEPS = 4  # mini-batches of each iteration before those
_PASSES = 2.5  # over all particles, that the mini-batches amount to at most
_FIRST_PER_CLASS = 50  # particles for each class in the first batch, which makes the classes different
_PER_CLASS = 8  # in the smallest of the others
_MOST_PER_CLASS = 400  # in the largest
_FORGETTING = 0.75  # exponent of the step sizes; convergence needs more than 0.5


def updates_until(iteration: int, iterations: int, gradient: bool) -> int:
    """Return the number of batches until the end of an iteration; without mini-batches one for each iteration."""
    early = max(iterations - WHOLE_AT_END, 0)
    return iteration if not gradient else _STEPS * min(iteration, early) + max(iteration - early, 0)


def batch_sizes(count: int, classes: int, iterations: int, gradient: bool) -> np.ndarray:
    """Return the number of particles in each batch, (updates,)."""
    sizes = np.full(updates_until(iterations, iterations, gradient), count)
    early = len(sizes) - WHOLE_AT_END
    if not gradient or early < _STEPS:
        return sizes
    mean = _PASSES * count / early
    first = min(_PER_CLASS * classes, mean)
    last = min(max(2.0 * mean - first, first), max(_MOST_PER_CLASS * classes, first))
    sizes[:early] = np.clip(np.rint(np.linspace(first, last, early)), 1, count)
    sizes[0] = min(max(_FIRST_PER_CLASS * classes, sizes[0]), count)
    return sizes


def pays(count: int, classes: int, iterations: int) -> bool:
    """Return whether mini-batches would be large enough, and the iterations many enough, to use them."""
    early = updates_until(iterations, iterations, True) - WHOLE_AT_END
    return iterations >= 10 and _PASSES * count / early >= _PER_CLASS * classes


def batch_rows(count: int, sizes: np.ndarray, update: int, seed: int) -> np.ndarray:
    """Return the sorted rows of a batch (from 1): slices of shuffled passes over all particles."""
    size = int(sizes[update - 1])
    if size == count:
        return np.arange(count)
    begin = int(sizes[: update - 1].sum())
    passes = range(begin // count, (begin + size - 1) // count + 1)
    order = np.concatenate([np.random.default_rng([seed, 7, number]).permutation(count) for number in passes])
    rows = order[begin - passes[0] * count :][:size]
    return np.unique(rows)  # a batch across two passes may contain a particle twice


def step_size(count: int, sizes: np.ndarray, update: int) -> float:
    """Return the weight γ of a batch relative to all before it; the particles remembered never exceed the set."""
    size = int(sizes[update - 1])
    return 1.0 if size == count else max(update**-_FORGETTING, size / count)
