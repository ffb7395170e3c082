"""File formats (STAR, MRC, movies, gain, defects). No science."""
