"""Mapping: from a checkpoint and a folder of cubes to one map without seams."""
