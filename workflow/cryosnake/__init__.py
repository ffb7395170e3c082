"""Single-particle cryo-EM from movies to a sharpened map, as a Snakemake workflow."""

__version__ = "0.1.0"
