"""From datasets to checkpoints: input pipeline, losses, optimisers, parallelism, the loop."""
