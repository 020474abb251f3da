"""From batches to checkpoints: steps, losses, optimisers, parallelism, the loop."""
