"""One sensor's bands in a user's stack: where its numbers are, and how the file packs them."""

import dataclasses
from collections.abc import Callable

import numpy as np

from cropmap_jax.geo.periods import Period
from cropmap_jax.geo.sensors import Sensor


@dataclasses.dataclass(frozen=True)
class Bands:
    """One sensor of a stack, read window by window.

    Args:
      sensor: whose bands these are.
      where: file (and key), to name in errors.
      periods: one per observation.
      names: of the bands that `read` returns, none twice: bands of the sensor, and the scene
        classification if there is one.
      read: (rows, columns) -> numbers as they are stored, [T, h, w, len(names)]; a masked array's
        masked ones are declared as missing.
      integer: whether pixels are stored as integers without a scale of their own.
      unused: names in the input that are no band of a cube.
      scale, offset: of the file's own, value = stored * scale + offset; they broadcast to
        [T, h, w, len(names)].
      date_offsets: of each observation, added to its stored numbers in place of the flag's; None
        or NaN takes the flag's.
    """

    sensor: Sensor
    where: str
    periods: tuple[Period, ...]
    names: tuple[str, ...]
    read: Callable[[slice, slice], np.ndarray]
    integer: bool = False
    unused: tuple[str, ...] = ()
    scale: np.ndarray | float = 1.0
    offset: np.ndarray | float = 0.0
    date_offsets: tuple[float, ...] | None = None

    @property
    def has_offset(self) -> bool:
        """Whether the file has an offset of its own."""
        return bool(np.any(np.asarray(self.offset) != 0))

    @property
    def packed(self) -> bool:
        """Whether the file has a scale or an offset of its own."""
        return bool(np.any(np.asarray(self.scale) != 1)) or self.has_offset

    def unpack(self, stored: np.ndarray, chosen: list[int] | None = None) -> np.ndarray:
        """Stored numbers with the file's own scale and offset applied.

        Args:
          stored: any dtype, [T, h, w, B]; it broadcasts over T, h and w.
          chosen: positions in `names` of the B bands; None for all.

        Returns:
          float32, [T, h, w, B].
        """
        with np.errstate(over="ignore", invalid="ignore"):
            values = stored.astype(np.float32)
            if not self.packed:
                return values
            scale, offset = (
                np.broadcast_to(v, np.broadcast_shapes(np.shape(v), (1, 1, 1, len(self.names))))
                for v in (self.scale, self.offset)
            )
            if chosen is not None:
                scale, offset = scale[..., chosen], offset[..., chosen]
            return np.asarray(values * scale + offset, np.float32)
