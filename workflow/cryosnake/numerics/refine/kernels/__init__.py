"""Compiled kernels for NumPy and CuPy arrays, and the memory they may use."""
