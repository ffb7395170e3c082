"""Particle images from micrographs: boxes, Fourier rescaling, normalisation, as in RELION."""
