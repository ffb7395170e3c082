"""Picking, and the training of pickers."""
