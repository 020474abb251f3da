"""An audit of a dataset or of a folder of cubes: what would make its scores, or its maps, wrong."""
