"""EUCROPMAP 2018/2022 pseudo-labels over European regions."""

from cropmap_jax.data import cube_builder
from cropmap_jax.geo import legend


class Builder(cube_builder.CubeDatasetBuilder):
    """Chips labelled wall to wall by the EUCROPMAP crop type map: 21 classes, no fields."""

    LEGEND = legend.EUCROPMAP
    FIELDS_FROM_LABEL = False
