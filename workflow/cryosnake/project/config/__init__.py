"""config.yaml as checked data."""
