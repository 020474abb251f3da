"""Datasets in memory, whose pixels say where and when they were taken.

Pixel (row, col) of cube `i`, whose side is `size` pixels, has the number i size² + row size + col
in every period; S1's second band and S2's last hold the number of the period instead. So a wrong
crop, flip, window or stitch shows in the values.
"""

import dataclasses
import datetime as dt
import pathlib

import numpy as np

from cropmap_jax.data import chips, dataset
from cropmap_jax.data.records import Whole
from cropmap_jax.geo.legend import IGNORE, NONE_OF_THESE, WEAK_NONE, Legend, make_class
from cropmap_jax.geo.periods import month_periods, to_day, to_days

LEGEND = Legend("small", tuple(make_class(i, i, n) for i, n in enumerate(("rye", "pea", "oats"))))
MONTHS = month_periods(dt.date(2022, 1, 1), dt.date(2022, 8, 1))
HARVEST = tuple(to_day(dt.date(2022, month, 1)) for month in (7, 8, 9))
NUMBER, PERIOD = 0, 1
"""Which band of S1 holds what."""


def day(text: str) -> int:
    """Days since 1970-01-01 of an ISO date."""
    return to_day(dt.date.fromisoformat(text))


@dataclasses.dataclass(frozen=True)
class InMemory(dataset.Dataset):
    """A dataset whose records are at hand."""

    records: dict[str, list[dict]] = dataclasses.field(default_factory=dict)

    def source(self, split: str):
        if self.few is not None:
            return self.few.source(split)
        return Whole(self.records[split], self.sensors, weak=self.split(split).weak)


@dataclasses.dataclass(frozen=True)
class Ground:
    """One cube: its split, its label [H, W] and, where they matter, fields and periods.

    The label is as records have it: WEAK_NONE is what only a land-cover map knows.
    """

    split: str
    label: np.ndarray
    fields: np.ndarray | None = None
    periods: tuple = MONTHS


def coordinates(index: int, periods: int, shape: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    """s1 int16 [T, H, W, 2] and s2 int16 [T, H, W, 10] of cube `index`."""
    height, width = shape
    number = index * height * width + np.arange(height * width).reshape(height, width)
    number = np.broadcast_to(number, (periods, height, width))
    period = np.broadcast_to(np.arange(periods)[:, None, None], number.shape)
    s1 = np.stack([number, period], -1).astype(np.int16)
    s2 = np.stack([number] * 9 + [period], -1).astype(np.int16)
    return s1, s2


def make_dataset(
    grounds: list[Ground], chip: int = 8, overlap: int = 0, harvest=HARVEST, planting=(0, 0, 0)
) -> InMemory:
    """A dataset of these cubes; harvest and planting per class, or per cube and class.

    From one cube to the next it is 10 km.
    """
    covered = any((ground.label == WEAK_NONE).any() for ground in grounds)
    found: dict[str, list[dict]] = {}
    tables: dict[str, list] = {}
    for index, ground in enumerate(grounds):
        shape = ground.label.shape
        s1, s2 = coordinates(index, len(ground.periods), shape)
        fields = np.zeros(shape, np.uint32) if ground.fields is None else ground.fields
        for row in chips.chip_origins(shape[0], chip, overlap):
            for col in chips.chip_origins(shape[1], chip, overlap):
                label = chips.cut(ground.label, row, col, chip, IGNORE)
                counts = [(label == c).sum() for c in (*range(len(LEGEND)), NONE_OF_THESE)]
                weak = (label == WEAK_NONE).sum()
                tables.setdefault(ground.split, []).append((index, row, col, counts, weak))
                found.setdefault(ground.split, []).append(
                    {
                        "s1": chips.cut(s1, row, col, chip, -32768, axis=1),
                        "s2": chips.cut(s2, row, col, chip, -32768, axis=1),
                        "label": label,
                        "fields": chips.cut(fields, row, col, chip, 0),
                        "periods": to_days(ground.periods),
                        "cube_index": index,
                        "row": row,
                        "col": col,
                    }
                )
    columns = {split: list(zip(*table, strict=True)) for split, table in tables.items()}
    return InMemory(
        name="cubes/small",
        path=pathlib.Path("small"),
        legend=LEGEND,
        chip=chip,
        period_kind="month",
        cubes=[
            {
                "id": f"cube{i}",
                "split": g.split,
                "block": f"block{i}",
                "season": "2022",
                "crs": "EPSG:32631",
                "shape": list(g.label.shape),
                "transform": [10.0, 0.0, 500_000.0 + 10_000 * i, 0.0, -10.0, 6_000_000.0],
                "periods": to_days(g.periods).tolist(),
            }
            for i, g in enumerate(grounds)
        ],
        harvest=np.broadcast_to(np.asarray(harvest, np.int32), (len(grounds), len(LEGEND))),
        planting=np.broadcast_to(np.asarray(planting, np.int32), (len(grounds), len(LEGEND))),
        statistics={},
        chips={
            split: dataset.Chips(
                *(np.asarray(c, np.int32) for c in table[:3]),
                np.asarray(table[3], np.int64),
                np.asarray(table[4], np.int64) if covered else None,
            )
            for split, table in columns.items()
        },
        records=found,
    )
