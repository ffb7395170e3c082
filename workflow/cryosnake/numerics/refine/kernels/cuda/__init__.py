"""CUDA versions of the refinement's compiled kernels, for CuPy arrays.

Each module holds the C source of one or two kernels and launchers with the names, arguments and results of the numba
kernels that they replace; `kernels/dispatch.py` chooses by the type of the array. Arrays must be C-contiguous; CuPy
is imported when a kernel is first called.
"""
