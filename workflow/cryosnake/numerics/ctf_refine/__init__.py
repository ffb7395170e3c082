"""CTF refinement: what particle images say of their microscope when their projections are known."""
