"""From windows to probabilities: one engine for scores and for maps."""
