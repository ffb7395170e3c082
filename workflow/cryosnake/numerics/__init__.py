"""Arrays in, arrays out: no paths, no printing, NumPy or CuPy decided by the input."""
