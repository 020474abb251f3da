"""Accuracy of every method on every world and real cube at hand, with seeds: docs/accuracy.md."""
