"""Crop maps from Sentinel-1 and Sentinel-2 time series, at least one month before harvest."""

__version__ = "0.1.0"
