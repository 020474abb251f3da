"""One command per module: `python -m experiments.<verb>`.

Flags and flow only; the work is done in cropmap_jax.
"""
