"""Cubes from any STAC catalogue: a service, a static catalogue, or a folder of one."""
