"""Selecting particles, micrographs and classes."""
