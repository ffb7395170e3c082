"""Subtract: part of the signal taken out of particle images, and put back."""
