"""What spans the cubes of a series: mosaics of the dates, styles, pictures, tables of hectares and
of parcels."""

import dataclasses
import datetime as dt
import pathlib
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import matplotlib
import numpy as np
from matplotlib.patches import Patch

from cropmap_jax.geo import files, periods
from cropmap_jax.geo.legend import NONE_OF_THESE, Legend
from cropmap_jax.inference.mosaic_groups import MosaicGroup
from cropmap_jax.inference.tiling import Box
from cropmap_jax.mapping import metadata, mosaics, picture, since, summary

if TYPE_CHECKING:  # it needs the packages of an extra
    from cropmap_jax.mapping.parcels import Parcels

TABLE = "since.csv"
_NONE = (225, 225, 225)


@dataclasses.dataclass(frozen=True)
class Shown:
    """What was written.

    Args:
      rasters: virtual raster on each pixel grid.
      table: CSV of hectares.
      text: the same, as lines for people.
      fields: the parcels; None where there are none.
    """

    rasters: list[pathlib.Path]
    table: pathlib.Path
    text: str
    fields: pathlib.Path | None


def write(
    out: pathlib.Path,
    folder: pathlib.Path,
    groups: list[MosaicGroup],
    classes: Legend,
    dates: Sequence[dt.date],
    found: Mapping[str, since.CubeSince],
    parcels: "Parcels | None" = None,
) -> Shown:
    """Writes what spans the cubes, next to the folders of the cubes.

    Args:
      out: folder of the series.
      folder: in which each cube has its folder.
      groups: mosaic groups of the last map.
      classes: the legend.
      dates: as-of dates, ascending.
      found: of each cube, by id.
      parcels: of the maps.

    Raises:
      ValueError: names a raster or table that is damaged.
      OSError: names what cannot be written.
    """
    rasters, as_of = [], dates[-1].isoformat()
    colours = date_colours(len(dates))
    style = mosaics.palette_style(
        (periods.to_day(date), "#" + bytes(rgb).hex(), label)
        for date, rgb, label in zip(dates, colours, labels(dates), strict=True)
    )
    for mosaic in mosaics.join(groups):
        vrt = folder / f"since_{mosaic.name}.vrt"
        text = since.description(classes, as_of)
        mosaics.write_vrt(vrt, mosaic, since.RASTER, text, kind=since.KIND)
        files.write_bytes(vrt.with_suffix(".qml"), style)
        own = hectares(classes, dates, [found[cube_id] for cube_id, _ in mosaic.tiles()])
        crops = out / as_of / f"crop_{mosaic.name}.vrt"
        _draw(vrt, crops, dates, own, mosaic.areas())
        rasters.append(vrt)
    total = hectares(classes, dates, list(found.values()))
    rows = table_rows(total, classes, dates)
    summary.write_csv(folder / TABLE, rows)
    fields = None
    if parcels is not None:
        from cropmap_jax.mapping import since_fields

        fields = since_fields.write(out, folder, parcels, dates)
    return Shown(rasters, folder / TABLE, table_text(rows, dates), fields)


def labels(dates: Sequence[dt.date]) -> list[str]:
    """What a legend says of each date."""
    first = f"since {dates[0]} or earlier"
    return [first, *(f"since {date}" for date in dates[1:])]


def date_colours(count: int) -> list[tuple[int, int, int]]:
    """A colour for each date, dark what has held for long, as bright as yellow what is new.

    Viridis, by S. van der Walt and N. Smith (bids.github.io/colormap), which stays in order of
    lightness for the colour-blind, too.
    """
    at = np.linspace(0.0, 1.0, count) if count > 1 else [0.0]
    table = (matplotlib.colormaps["viridis"](at)[:, :3] * 255).round().astype(int)
    return [(int(r), int(g), int(b)) for r, g, b in table]


# Hectares -----------------------------------------------------------------------------------------


def hectares(
    classes: Legend, dates: Sequence[dt.date], found: Sequence[since.CubeSince]
) -> dict[str, list[float]]:
    """Hectares by name of class, one for each date."""
    names = [*classes.names, metadata.values(classes)[NONE_OF_THESE]]
    out = {name: [0.0] * len(dates) for name in names}
    for one in found:
        for n, date in enumerate(dates):
            for name, pixels in one.pixels[date.isoformat()].items():
                out[name][n] += pixels * one.pixel_m**2 / 1e4
    return out


def table_rows(
    total: Mapping[str, Sequence[float]], classes: Legend, dates: Sequence[dt.date]
) -> list[summary.Row]:
    """Rows of the CSV: class, title, hectares of the last map, and of these since each date."""
    titles = dict(zip(classes.names, (c.title for c in classes.classes), strict=True))
    return [
        {"class": name, "title": titles.get(name, "None of these"), "hectares": round(sum(own), 4)}
        | {date.isoformat(): round(value, 4) for date, value in zip(dates, own, strict=True)}
        for name, own in total.items()
    ]


_MOST_COLUMNS = 6


def table_text(rows: Sequence[summary.Row], dates: Sequence[dt.date]) -> str:
    """The table for a terminal: the newest dates, and all before them together."""
    names = [date.isoformat() for date in dates]
    cut = max(1, len(names) - _MOST_COLUMNS)
    earlier, shown = names[:cut], names[cut:]
    head = "".join(f"{date:>14}" for date in (f"by {earlier[-1]}", *shown))
    lines = [f"{'hectares that hold since':32}{head}"]
    for row in rows:
        if row["hectares"]:
            cells = [sum(row[date] for date in earlier), *(row[date] for date in shown)]
            text = "".join(f"{cell:14,.1f}" if cell else f"{'-':>14}" for cell in cells)
            lines.append(f"{summary.one_line(row['title'])[:31]:32}{text}")
    return "\n".join(lines)


# Picture ------------------------------------------------------------------------------------------


def _draw(
    vrt: pathlib.Path,
    crops: pathlib.Path,
    dates: Sequence[dt.date],
    own: Mapping[str, Sequence[float]],
    areas: Sequence[Box],
) -> None:
    """Draws since when the crops of the last map have held; other ground is grey."""
    colours = date_colours(len(dates))

    def paint(image: np.ndarray, box: Box | None) -> np.ndarray:
        out = np.zeros((*image.shape, 4), np.uint8)
        for date, rgb in zip(dates, colours, strict=True):
            out[image == periods.to_day(date)] = (*rgb, 255)
        shown, _, _ = picture.read_mosaic(crops, box)
        out[(shown == NONE_OF_THESE) & (image != since.NODATA)] = (*_NONE, 255)
        return out

    *crop_names, none = own
    by_date = [sum(own[name][n] for name in crop_names) for n in range(len(dates))]
    whole = sum(by_date)
    handles = []
    for text, rgb, value in zip(labels(dates), colours, by_date, strict=True):
        share = f"  {value / whole:.0%}" if whole else ""
        handles.append(_patch(rgb, text + share))
    if any(own[none]):
        handles.append(_patch(_NONE, "none of these crops"))
    title = f"Since when the crop shown as of {dates[-1]} has held\n{len(dates)} maps, from "
    title += f"{dates[0]}; shares of the ground with crops"
    picture.save(vrt.with_suffix(".png"), vrt, paint, handles, title, areas)


def _patch(rgb: tuple[int, int, int], label: str) -> Patch:
    red, green, blue = (c / 255 for c in rgb)
    return Patch(facecolor=(red, green, blue), edgecolor="0.5", label=label)
