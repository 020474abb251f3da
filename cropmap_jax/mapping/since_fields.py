"""The parcels of a series: those of the last map, and since when the class of each has held."""

import datetime as dt
import pathlib
from collections.abc import Sequence
from typing import Any

import geopandas

from cropmap_jax.mapping import field_table, since
from cropmap_jax.mapping.parcels import Parcels, output_name


def write(
    out: pathlib.Path, folder: pathlib.Path, parcels: Parcels, dates: Sequence[dt.date]
) -> pathlib.Path:
    """Writes `<folder>/fields.*`: the table of the last map, and a column for each thing found.

    Args:
      out: folder of the series, in which the map of each date has its table.
      folder: where the table is written.
      parcels: the parcels.
      dates: as-of dates, ascending.

    Raises:
      ValueError: names a table that cannot be read, or is of other parcels.
      OSError: names what cannot be written.
    """
    name = output_name(parcels.suffix)
    taken = {str(column).lower() for column in parcels.frame.columns}
    crop = field_table.free_name("map_crop", taken)
    frames = [_read(out / date.isoformat() / name, crop, len(parcels)) for date in dates]
    frame = frames[-1]
    taken = {str(column).lower() for column in frame.columns}
    shown = [own[crop].astype(object).where(own[crop].notna(), None) for own in frames]
    for key, values in since.of_parcels(shown, dates).items():
        frame[field_table.free_name(f"map_{key}", taken)] = values
    field_table.write(folder / name, frame, dates[-1].isoformat())
    return folder / name


def _read(path: pathlib.Path, crop: str, count: int) -> Any:
    try:
        if path.suffix in (".parquet", ".geoparquet"):
            frame = geopandas.read_parquet(path)
        else:
            frame = geopandas.read_file(path)
    except Exception as error:  # of several libraries
        raise ValueError(f"{path}: expected the parcels of a map ({str(error)[:200]})") from error
    if len(frame) != count or crop not in frame.columns:
        raise ValueError(
            f"{path}: expected {count} parcels with {crop}, found {len(frame)}; remove that file, "
            f"and run the same command again"
        )
    return frame
