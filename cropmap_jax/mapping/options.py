"""What `predict` is asked for, and whether it can be."""

import dataclasses
import os

from cropmap_jax.geo import files
from cropmap_jax.mapping.decision import THRESHOLD
from cropmap_jax.training import checkpoints

MOST_CHIPS = 1024
"""Largest batch: a slip of the finger beyond, since each chip takes some 10 MB and more."""


@dataclasses.dataclass(frozen=True)
class Options:
    """What to map.

    Args:
      workdir: folder of the run.
      cubes: folder of cubes.
      as_of: exclusive ISO date of the prediction.
      out: folder of the map.
      threshold: probability at which a sigmoid head's class is shown.
      batch_size: chips per step; rounded up to a multiple of the local devices.
      season: which cubes to map; None where all are of one season.
      overwrite: recompute maps that were made with other settings.
      checkpoint: "last", "best" by validation, or the number of a step.
      smooth: side in pixels of the window that probabilities are smoothed over; 0 for none.
      mask: GeoTIFF whose 0 and nodata are left out; "" for none.
      fields: file of parcels that get a class each; "" for none.
      fields_layer: layer of that file, where it has several.
      calibrate: rescale probabilities by the run's calibration, if it has one.

    Raises:
      ValueError: names the flag whose value cannot be.
    """

    workdir: str
    cubes: str
    as_of: str
    out: str
    threshold: float = THRESHOLD
    batch_size: int = 8
    season: str | None = None
    overwrite: bool = False
    checkpoint: str = checkpoints.LAST
    smooth: int = 0
    mask: str = ""
    fields: str = ""
    fields_layer: str = ""
    calibrate: bool = True

    def __post_init__(self) -> None:
        if not 0 <= self.threshold <= 1:  # NaN is refused as well
            raise ValueError(
                f"--threshold: expected a probability from 0 to 1, found {self.threshold}"
            )
        if not 1 <= self.batch_size <= MOST_CHIPS:
            raise ValueError(
                f"--batch_size: expected 1 to {MOST_CHIPS} chips, found {self.batch_size}"
            )
        inputs = {"--cubes": self.cubes, "--workdir": self.workdir}
        for flag, path in {"--out": self.out, **inputs}.items():
            if not os.fspath(path):
                raise ValueError(f"{flag}: expected a folder, found an empty name")
            files.local(flag, path)
        if self.fields_layer and not self.fields:
            raise ValueError("--fields_layer: expected --fields with it, found none")
        for flag, path in (("--mask", self.mask), ("--fields", self.fields)):
            if path:
                inputs[flag] = str(files.local(flag, path))
        files.check_apart({"--out": self.out}, inputs)
