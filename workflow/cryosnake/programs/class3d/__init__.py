"""3D classification."""
