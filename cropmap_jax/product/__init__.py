"""A run as something to hand on: its model card, its STAC item, and its network for other runtimes.

What is written states facts that the run, its dataset and its evaluations hold, and nothing else.
"""
