"""Whether the blobs of a micrograph are dark or bright."""

from __future__ import annotations

import math

import numpy as np

from cryosnake.numerics.backend import namespace, to_numpy
from cryosnake.numerics.picking.background import WorkingImage, local_normalise
from cryosnake.numerics.picking.blobs import blob_responses
from cryosnake.numerics.picking.threshold import Responses, standardise

_HIGH = 4.0  # s.d. of the response away from peaks: fringes around particles and noise stay below
_APART = 2.0 / 3.0  # diameters


def darkness(working: WorkingImage, size: float) -> float:
    """Return how surely blobs of a size (diameter in Å) are dark, in standard deviations; below 0 they are bright.

    High peaks of the response to blobs are counted in both signs, and their difference divided by its standard
    deviation, as for two Poisson counts. A hole in the ice or a crystal counts as few blobs, however strong it is. One
    size is enough, and better than several: more of them find more of the fringes.
    """
    everywhere = np.ones(working.image.shape, np.bool_)
    diameter = size / working.pixel_size
    image = local_normalise(working.image, namespace(working.image).asarray(everywhere), diameter)
    responses = to_numpy(blob_responses(image, diameter, diameter))
    dark, bright = (int((standardise(Responses(sign * responses), everywhere, _APART * diameter, diameter).heights
                         > _HIGH).sum()) for sign in (1, -1))
    return (dark - bright) / math.sqrt(dark + bright + 1)
