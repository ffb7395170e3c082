"""The kernels of the expectation step on a CUDA device, under the names of `refine/kernels.py`."""

from cryosnake.numerics.refine.cuda.accumulate import accumulate
from cryosnake.numerics.refine.cuda.normalise import normalise
from cryosnake.numerics.refine.cuda.score import score
from cryosnake.numerics.refine.cuda.select import find_cuts, gather_samples

__all__ = ["accumulate", "find_cuts", "gather_samples", "normalise", "score"]
