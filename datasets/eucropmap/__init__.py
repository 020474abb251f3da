"""TFDS builder of the eucropmap dataset."""
