"""Particle picking: blobs (LoG) or templates, an adaptive threshold, and no picks on contamination."""

from cryosnake.numerics.picking.background import WorkingImage, local_normalise, working_image
from cryosnake.numerics.picking.blobs import blob_responses
from cryosnake.numerics.picking.noise import NoiseLimits, contaminated
from cryosnake.numerics.picking.peaks import find_peaks
from cryosnake.numerics.picking.pick import Picks, pick_particles
from cryosnake.numerics.picking.templates import (
    TemplateBank,
    TemplateSettings,
    correlate,
    ctf_grid,
    project_templates,
    rotate_templates,
)
from cryosnake.numerics.picking.threshold import (
    NoisePeaks,
    PickOptions,
    Responses,
    adaptive_threshold,
    count_noise_peaks,
)

__all__ = ["NoiseLimits", "NoisePeaks", "PickOptions", "Picks", "Responses", "TemplateBank", "TemplateSettings",
           "WorkingImage", "adaptive_threshold", "blob_responses", "contaminated", "correlate", "count_noise_peaks",
           "ctf_grid", "find_peaks", "local_normalise", "pick_particles", "project_templates", "rotate_templates",
           "working_image"]
