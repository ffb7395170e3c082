"""The dashboard: a local server that shows projects, and writes nothing unless it was started with `--edit`."""
