"""Which particles each iteration of a 2D classification looks at: all of them, or growing mini-batches.

Mini-batches make it stochastic: the sums of earlier batches fade (on-line expectation maximisation: Cappé & Moulines
2009, J. R. Stat. Soc. B 71, 593), as in RELION's VDAM (Kimanius et al. 2021, Biochem. J. 478, 4169) and cryoSPARC's
2D classification. The last iterations look at everything, so all particles are assigned by the same averages.
"""

from __future__ import annotations

import numpy as np

_WHOLE_AT_END = 2  # iterations over all particles that end a run with mini-batches
_PASSES = 2.0  # over all particles, that the mini-batches amount to at most
_PER_CLASS = 20  # particles for each class in the smallest batch
_MOST_PER_CLASS = 400  # in the largest
_FORGETTING = 0.6  # exponent of the step sizes; convergence needs more than 0.5


def batch_sizes(count: int, classes: int, iterations: int, gradient: bool) -> np.ndarray:
    """Return how many particles each iteration looks at, (iterations,)."""
    sizes = np.full(iterations, count)
    early = iterations - _WHOLE_AT_END
    if not gradient or early < 1:
        return sizes
    mean = _PASSES * count / early
    first = min(max(_PER_CLASS * classes, 200), mean)
    last = min(max(2.0 * mean - first, first), max(_MOST_PER_CLASS * classes, first))
    sizes[:early] = np.clip(np.rint(np.linspace(first, last, early)), 1, count)
    return sizes


def pays(count: int, classes: int, iterations: int) -> bool:
    """Return whether mini-batches are large enough to be trusted, and few enough passes to be worth it."""
    early = iterations - _WHOLE_AT_END
    return early >= 8 and _PASSES * count / early >= max(_PER_CLASS * classes, 200)


def batch_rows(count: int, sizes: np.ndarray, iteration: int, seed: int) -> np.ndarray:
    """Return the sorted rows of an iteration (from 1): slices of shuffled passes, so that each turn sees every one."""
    size = int(sizes[iteration - 1])
    if size == count:
        return np.arange(count)
    begin = int(sizes[: iteration - 1].sum())
    turns = range(begin // count, (begin + size - 1) // count + 1)
    order = np.concatenate([np.random.default_rng([seed, 7, turn]).permutation(count) for turn in turns])
    rows = order[begin - turns[0] * count :][:size]
    return np.unique(rows)  # a batch across two turns may meet a particle twice


def step_size(count: int, sizes: np.ndarray, iteration: int) -> float:
    """Return the weight γ of an iteration's batch against all before it; what is remembered never exceeds the set."""
    size = int(sizes[iteration - 1])
    return 1.0 if size == count else max(iteration**-_FORGETTING, size / count)
