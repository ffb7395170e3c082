"""The lanes of `cryosnake watch`: two calls of Snakemake that work in a project side by side."""

LANES = ("micrographs", "particles")
