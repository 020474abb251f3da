"""A simulated world without its pixels, which take nearly all of the time."""

import numpy as np
import pytest

from cropmap_jax.geo.sensors import SENTINEL
from cropmap_jax.sources.simulator import fields, run, sites


def simulate(settings, root):
    """Cubes with labels and no pixels, and {site number: what truly grows there}."""
    ground, original = [], fields.plant

    def plant(*arguments):
        ground.append(original(*arguments))
        return ground[-1]

    def black(_, __, ___, ____, size, periods):
        return tuple(
            np.zeros((len(periods), size, size, len(sensor.bands)), np.float32)
            for sensor in SENTINEL
        )

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sites.fields, "plant", plant)
        patch.setattr(sites.fields, "grow", lambda *_: None)
        patch.setattr(sites.pixels, "observe", lambda *_: None)
        patch.setattr(sites.pixels, "tile_composites", black)
        run.simulate(settings, root / "cubes", root / "truth", workers=1)
    return dict(enumerate(ground))
