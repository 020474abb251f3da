"""How well the label review finds planted errors, and what the fields to visit are worth."""
