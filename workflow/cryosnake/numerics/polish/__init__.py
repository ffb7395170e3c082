"""Bayesian polishing: how particles move during exposure, and how each frame counts."""
