"""Measures simulated landscapes against real ones."""
