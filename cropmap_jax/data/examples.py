"""What records, examples and batches hold: their keys, shapes and dtypes, in one place.

A *record* is a chip as a dataset stores it, with all periods of its cube. An *example* is a chip as
of a date: the window of a prediction. A *batch* is examples stacked.
"""

from typing import Any, Protocol

import numpy as np

Pixels = dict[str, np.ndarray]
"""By sensor name, [..., T, H, W, bands] in the sensor's stored dtype; no-data where missing."""

Record = dict[str, Any]
"""A chip of a dataset: each sensor's pixels under its name, [T, H, W, bands] as stored; "label"
uint8 [H, W]; "fields" uint32 [H, W]; "periods" int32 [T, 2], days since 1970-01-01; "cube", its
id as bytes; "cube_index", "row" and "col" int."""

Example = dict[str, Any]
"""A chip as of a date: "pixels", `Pixels` [T, H, W, bands]; "label" uint8 [H, W], class index, 254
none of these, 255 unknown, of all these pixels or of those in the middle; while training, where
weak pixels are drawn, "weak" bool [H, W], those that are none of these as only a land-cover map
says; and what `Facts` holds."""

Facts = dict[str, Any]
"""What an example holds next to pixels and label: "day_of_year" int32 [T], middle of the period, 0
before the cube begins; "lead" int32, days from the window's end to harvest, `sampling.LEAD_UNKNOWN`
without a harvest date; "planted" float32 [classes], 0 for a crop not yet planted on the as-of date;
while training also "turn" int32 from 0 to 7, see `augment`, and "mix" float32, the share of the
example itself in its inputs, see `training.steps.mixed`."""

Batch = dict[str, Any]
"""Examples with a leading axis B: numpy on the host; on a device, jax arrays of its share, where
`scaling.scale` makes "pixels" float32 in [0, 1], 0 where missing, and adds "valid", float32 of the
same shapes by sensor, 1 where a value is there."""


class Source(Protocol):
    """Random access to the records of a split, by number."""

    def __len__(self) -> int:
        """Number of records."""

    def __getitem__(self, index: int) -> Record:
        """A record, whole."""

    def label(self, index: int) -> np.ndarray:
        """uint8 [H, W], annotation of a chip."""

    def fields(self, index: int) -> np.ndarray:
        """uint32 [H, W], ids of the fields in a chip, 0 where there is none."""

    def weak(self, index: int) -> np.ndarray:
        """bool [H, W], which unknown pixels of a chip are none of the classes, as a land-cover map
        says and nobody else; these are unknown in `label`."""

    def read_window(
        self, index: int, chosen: np.ndarray, pixels: Pixels, label: np.ndarray | None = None
    ) -> None:
        """Reads some periods of a chip into arrays that are there.

        Args:
          index: which record.
          chosen: int [N] from `as_of_windows.as_of_window`: contiguous, MISSING at their beginning.
          pixels: of the sensors that are wanted, [N, H, W, bands] of their dtypes, C-contiguous;
            filled, with the sensor's no-data value where missing.
          label: uint8 [H, W], likewise, or None.

        Raises:
          ValueError: names the file that is damaged.
        """

    def gather(
        self,
        chips: np.ndarray,
        rows: np.ndarray,
        cols: np.ndarray,
        windows: np.ndarray,
        pixels: Pixels,
    ) -> None:
        """Reads squares of many chips, each as of its own window, and nothing else of them.

        Args:
          chips: int [N], which records.
          rows, cols: int [N], upper left corner of each square in its chip; what lies beyond the
            chip is missing.
          windows: int [N, T], as `chosen` of `read_window`.
          pixels: of the sensors that are wanted, [N, T, h, w, bands]; filled.

        Raises:
          ValueError: names the file that is damaged.
        """
