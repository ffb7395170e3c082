"""Cleaning many jobs at once: facts, advice, a plan, its preview, and carrying it out."""
