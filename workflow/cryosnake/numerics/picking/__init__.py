"""Particle picking: blobs (LoG) or templates, an adaptive threshold, and no picks on contamination."""
