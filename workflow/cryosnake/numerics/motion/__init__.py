"""Motion correction: from the frames of a movie to their shifts, a smooth local model and dose-weighted sums."""
