"""Compiled kernels for NumPy and CuPy arrays, and what they may take of memory."""
