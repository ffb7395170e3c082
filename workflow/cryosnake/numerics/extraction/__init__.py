"""Particle images from micrographs: boxes, Fourier rescaling, normalisation, as RELION makes them."""

from cryosnake.numerics.extraction.boxes import cut_boxes, outside, rescale
from cryosnake.numerics.extraction.normalise import DustLimits, background, default_background_radius, normalise
from cryosnake.numerics.extraction.recentre import recentred

__all__ = ["DustLimits", "background", "cut_boxes", "default_background_radius", "normalise", "outside", "recentred",
           "rescale"]
