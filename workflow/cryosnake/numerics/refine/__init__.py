"""Regularised-likelihood refinement: expectation and maximisation as linear algebra. Arrays in, arrays out.

Method: Scheres 2012, J. Mol. Biol. 415, 406-418, and J. Struct. Biol. 180, 519-530. The cross terms of all images and
orientations are matrix products; the irregular parts (selection of significant samples, their scores at full
resolution, back-projection) is done by orientation, with compiled kernels.
"""
