"""Estimation of the contrast transfer function from a micrograph's power spectrum."""

from cryosnake.numerics.ctf_fit.fit import fit_ctf
from cryosnake.numerics.ctf_fit.model import CtfFit, FitOptions
from cryosnake.numerics.ctf_fit.picture import diagnostic_image
from cryosnake.numerics.ctf_fit.spectrum import amplitude_spectrum, fitting_sampling

__all__ = ["CtfFit", "FitOptions", "amplitude_spectrum", "diagnostic_image", "fit_ctf",
           "fitting_sampling"]
