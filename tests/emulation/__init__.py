"""A stand-in for CuPy on machines without a GPU: arrays that do not mix with NumPy's, kernels compiled for the CPU.

It shows that the GPU's code paths run and give the right numbers; the real CuPy is tested where a GPU is (`-m gpu`).
"""
