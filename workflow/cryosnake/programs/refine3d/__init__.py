"""Gold-standard refinement of one map."""
