"""Any folder of cubes that share a legend."""

from cropmap_jax.data import cube_builder


class Builder(cube_builder.CubeDatasetBuilder):
    """Chips of a user's own cubes; the legend is that of the cubes."""
