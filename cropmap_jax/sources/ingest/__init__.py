"""Cubes from a user's own rasters and arrays: read, judged, and never guessed."""
