"""Panels: from data to a figure."""
