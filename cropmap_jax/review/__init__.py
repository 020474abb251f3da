"""Which annotated fields look wrong, and which others are worth a visit."""
