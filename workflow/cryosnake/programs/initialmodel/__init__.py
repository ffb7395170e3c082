"""Initial models from particles alone."""
