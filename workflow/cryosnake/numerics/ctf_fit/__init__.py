"""Estimation of the contrast transfer function from a micrograph's power spectrum."""
