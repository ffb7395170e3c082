"""One file per job type: its definition. Standard library only."""
