"""TFDS builder of the isrc dataset."""
