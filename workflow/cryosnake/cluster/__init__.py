"""Profiles for clusters: written from what SLURM says of itself, or from the templates of cryoSPARC and RELION."""
