"""One micrograph at a time: import, motion correction, CTF, picking, extraction."""
