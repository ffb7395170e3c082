"""Profiles for clusters: written from SLURM's own information, or from the templates of cryoSPARC and RELION."""
