"""The kernels of the expectation step on a CUDA device, named as those in `../host.py`."""

from cryosnake.numerics.refine.kernels.cuda.accumulate import accumulate
from cryosnake.numerics.refine.kernels.cuda.normalise import normalise
from cryosnake.numerics.refine.kernels.cuda.score import score
from cryosnake.numerics.refine.kernels.cuda.select import find_cuts, gather_samples

__all__ = ["accumulate", "find_cuts", "gather_samples", "normalise", "score"]
