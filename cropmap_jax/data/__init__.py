"""From cubes to batches: the TFDS builder, the built dataset, and how examples are drawn."""
