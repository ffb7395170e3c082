"""The kernels of the expectation step in host memory, named as those in `cuda/kernels.py`."""

from cryosnake.numerics.refine.kernels.scores import accumulate, score
from cryosnake.numerics.refine.kernels.selection import find_cuts, gather_samples, normalise

__all__ = ["accumulate", "find_cuts", "gather_samples", "normalise", "score"]
