"""Cryo-EM data with a known truth: a pseudo-protein, its projections, micrographs and movies."""
