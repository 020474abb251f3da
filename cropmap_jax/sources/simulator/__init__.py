"""A physically based simulator of agricultural landscapes, whose output is cubes."""
