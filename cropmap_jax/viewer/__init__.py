"""A finished map, or a series of maps, in the browser: served on this machine, or as one file.

It shows what `predict` wrote, and computes nothing that a map does not hold but the means of images
over mapped classes.
"""
