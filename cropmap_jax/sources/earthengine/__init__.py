"""Cubes from Earth Engine: planned, within its limits, resumable. The only importer of `ee`."""
