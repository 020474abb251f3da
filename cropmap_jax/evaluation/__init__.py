"""How good a prediction is: over annotated pixels and fields only, from summed counts."""
