"""Coordinates of particles: files of several programs, lists that name them, and what a person decided."""
