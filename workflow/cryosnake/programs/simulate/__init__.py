"""Data sets with a known truth, written as projects."""
