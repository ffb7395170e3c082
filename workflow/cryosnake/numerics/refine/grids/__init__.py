"""What is searched, and with what: orientations, shifts, Fourier pixels, slices of references."""
