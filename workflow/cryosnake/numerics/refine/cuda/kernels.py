"""The kernels of the expectation step on a CUDA device, named as in `refine/kernels.py` and `refine/selection.py`."""

from cryosnake.numerics.refine.cuda.accumulate import accumulate
from cryosnake.numerics.refine.cuda.normalise import normalise
from cryosnake.numerics.refine.cuda.score import score
from cryosnake.numerics.refine.cuda.select import find_cuts, gather_samples

__all__ = ["accumulate", "find_cuts", "gather_samples", "normalise", "score"]
