"""Grids of a search: orientations, shifts, Fourier pixels, slices of references."""
