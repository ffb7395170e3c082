"""The expectation step: searches, scores, probabilities; and when to search finer."""
