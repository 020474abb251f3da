"""What spans the cubes of a map: one virtual raster, style and picture per grid, and a summary."""

import dataclasses
import pathlib

from cropmap_jax.geo import files
from cropmap_jax.geo.legend import Legend
from cropmap_jax.mapping import decision, mosaics, picture, rasters, records, summary
from cropmap_jax.mapping.ground import Ground

SUMMARY = "summary.csv"
STYLE = "crop.qml"


@dataclasses.dataclass(frozen=True)
class Result:
    """A finished map: its table for people, its virtual rasters and its summary."""

    table: str
    crops: list[pathlib.Path]
    summary: pathlib.Path


def clear(out: pathlib.Path) -> None:
    """Removes what spanned the cubes of an earlier state of the map."""
    for pattern in ("crop_*.vrt", "crop_*.qml", "crop_*.png", "confidence_*.vrt", SUMMARY, STYLE):
        for path in out.glob(pattern):
            path.unlink()


def write_region(out: pathlib.Path, grounds: list[Ground], classes: Legend, as_of: str) -> Result:
    """Writes what spans the cubes, from their records and rasters; the summary comes last.

    Args:
      out: folder of the map, in which every cube of `grounds` has its folder.
      grounds: the sheets.
      classes: the legend.
      as_of: ISO date.

    Raises:
      ValueError: names a record that cannot be read.
      OSError: names what cannot be written.
    """
    clear(out)
    tallies, crops, style = [], [], mosaics.style(classes)
    for mosaic in mosaics.join(grounds):
        crop, confidence = (out / f"{what}_{mosaic.name}.vrt" for what in ("crop", "confidence"))
        name = rasters.crop_name(classes, as_of)
        mosaics.write_vrt(crop, mosaic, records.CROP, name, classes)
        name, scale = rasters.confidence_name(as_of), 1 / decision.PERCENT
        mosaics.write_vrt(confidence, mosaic, records.CONFIDENCE, name, scale=scale)
        files.write_bytes(crop.with_suffix(".qml"), style)
        found = summary.tally(out, (cube_id for cube_id, _ in mosaic.tiles()), classes)
        png, pieces = crop.with_suffix(".png"), mosaic.pieces()
        picture.draw(png, crop, classes, found, as_of, pieces)
        tallies.append(found)
        crops.append(crop)
    files.write_bytes(out / STYLE, style)
    total = summary.merge(tallies, classes)
    summary.write_csv(out / SUMMARY, total.rows(classes))
    return Result(summary.table(total, classes), crops, out / SUMMARY)
