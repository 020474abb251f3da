"""The flags of `experiments.ingest` as one value."""

import dataclasses
import pathlib
from collections.abc import Sequence

from cropmap_jax.geo.landcover import WORLDCOVER
from cropmap_jax.sources.ingest import annotations
from cropmap_jax.sources.ingest.satellites import Units


@dataclasses.dataclass(frozen=True)
class Options:
    """The flags of `experiments.ingest`, which explains them.

    Args:
      input: .npz file, or folder with a .tif or .nc named after each sensor.
      cubes: folder of cubes.
      scl_classes: classes of the scene classification to mask; empty masks nothing.
    """

    input: str
    cubes: str
    name: str = ""
    season: str = ""
    legend: str = annotations.FROM_INPUT
    none_of_these: Sequence[str] = ()
    unknown: Sequence[str] = ()
    harvest: Sequence[str] = ()
    fields: str | None = None
    split: str = "train"
    months: bool = False
    dekads: bool = False
    s1_unit: str = "db"
    s2_scale: float | None = None
    s2_offset: float = 0.0
    scl_classes: Sequence[int] = ()
    landcover: str = ""
    landcover_table: str = WORLDCOVER.name
    overwrite: bool = False

    @property
    def units(self) -> Units:
        """Units of the pixels.

        Raises:
          ValueError: no such unit or scale.
        """
        masked = [str(value).strip() for value in self.scl_classes]
        if not all(value.isdigit() for value in masked):
            raise ValueError(f"--scl_classes: expected numbers 0-11, found {','.join(masked)}")
        classes = tuple(sorted({int(value) for value in masked}))
        return Units(self.s1_unit, self.s2_scale, self.s2_offset, classes)

    def to_json(self) -> dict[str, object]:
        """What decides a cube's content; no path of this machine."""
        out = {
            key: list(value) if isinstance(value, (tuple, list)) else value
            for key, value in dataclasses.asdict(self).items()
        }
        out["scl_classes"] = list(self.units.scl_classes)
        out["legend"] = pathlib.PurePath(self.legend).name
        if self.landcover:
            out["landcover"] = pathlib.PurePath(self.landcover).name
            out["landcover_table"] = pathlib.PurePath(self.landcover_table).name
        else:  # as before there was any
            del out["landcover"], out["landcover_table"]
        return {k: v for k, v in out.items() if k not in ("input", "cubes", "overwrite")}
