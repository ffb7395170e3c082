"""From back-projected slices to maps."""
