"""TFDS builder of the cubes dataset."""
