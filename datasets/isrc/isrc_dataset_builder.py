"""Iranian fields of the Iranian Space Research Center's crop mapping competition."""

from cropmap_jax.data import cube_builder
from cropmap_jax.geo import legend


class Builder(cube_builder.CubeDatasetBuilder):
    """Chips in which some fields of eight crops are annotated; the rest is unknown."""

    LEGEND = legend.ISRC
