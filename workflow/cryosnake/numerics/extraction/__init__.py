"""Particle images from micrographs: boxes, Fourier rescaling, normalisation, as in RELION."""

from cryosnake.numerics.extraction.boxes import cut_boxes, outside, rescale
from cryosnake.numerics.extraction.normalise import DustLimits, background, default_background_radius, normalise
from cryosnake.numerics.extraction.recentre import at_pixel_size, recentred

__all__ = ["DustLimits", "at_pixel_size", "background", "cut_boxes", "default_background_radius", "normalise",
           "outside", "recentred", "rescale"]
