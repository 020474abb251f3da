"""Outputs for a whole map: a virtual raster, style and picture per grid, and a summary."""

import dataclasses
import pathlib
from collections.abc import Sequence

from cropmap_jax.geo import files
from cropmap_jax.geo.legend import Legend
from cropmap_jax.geo.sensors import Sensor
from cropmap_jax.inference.mosaic_groups import MosaicGroup
from cropmap_jax.mapping import decision, map_rasters, metadata, mosaics, notes, picture, summary

SUMMARY, TEXT = "summary.csv", "summary.txt"
STYLE = "crop.qml"


@dataclasses.dataclass(frozen=True)
class Result:
    """A finished map.

    Args:
      table: what it holds, as lines for people, see `summary.table`.
      notes: on what was seen in the pixels, a line each, see `notes.after`.
      crops: virtual raster of the crops on each pixel grid.
      summary: CSV of all classes.
      fields: the parcels with a class each; None where there are none.
    """

    table: str
    notes: list[str]
    crops: list[pathlib.Path]
    summary: pathlib.Path
    fields: pathlib.Path | None = None


def file_names(groups: list[MosaicGroup], more: Sequence[str] = ()) -> list[str]:
    """Names of the files that `write_products` writes.

    Args:
      groups: the mosaic groups.
      more: names of further files of the whole map.

    Raises:
      ValueError: a cube, and so its folder, has one of these names.
    """
    names = [SUMMARY, TEXT, STYLE, *more]
    for mosaic in mosaics.join(groups):
        names += [f"crop_{mosaic.name}{suffix}" for suffix in (".vrt", ".qml", ".png")]
        names.append(f"confidence_{mosaic.name}.vrt")
    # Some file systems do not distinguish capitals from small letters.
    taken = {name.lower() for name in names}
    for made in (made for group in groups for made in group.cubes):
        if made.cube_id.lower() in taken:
            raise ValueError(
                f"cube {made.cube_id}: its id is the name of a file of the map; expected another id"
            )
    return names


def clear(written: files.Written, styles: bool) -> None:
    """Removes what spanned the cubes of an earlier state of the map.

    Args:
      written: what is ours.
      styles: whether to remove QGIS styles, too; they depend on the legend only, and people
        change them.
    """
    for name in written.names():
        if styles or not name.endswith(".qml"):
            written.remove(name)


def write_products(
    out: pathlib.Path,
    groups: list[MosaicGroup],
    classes: Legend,
    as_of: str,
    known: list[str],
    trained: dict[Sensor, list[str]],
    calibrated: bool = False,
) -> Result:
    """Writes what spans the cubes, from their metadata and rasters; the summary comes last.

    Args:
      out: folder of the map, in which every cube of `groups` has its folder.
      groups: the mosaic groups.
      classes: the legend.
      as_of: exclusive ISO date of the prediction.
      known: notes that were made before, see `notes.before`.
      trained: bands by sensor, see `notes.trained_bands`.
      calibrated: whether probabilities were rescaled.

    Raises:
      ValueError: names a map's metadata or raster that cannot be read.
      OSError: names what cannot be written.
    """
    tallies, crops, style = [], [], mosaics.style(classes)
    for mosaic in mosaics.join(groups):
        crop, confidence = (out / f"{what}_{mosaic.name}.vrt" for what in ("crop", "confidence"))
        name = map_rasters.crop_name(classes, as_of)
        mosaics.write_vrt(crop, mosaic, metadata.CROP, name, classes)
        name, scale = map_rasters.confidence_name(as_of, calibrated), 1 / decision.PERCENT
        mosaics.write_vrt(confidence, mosaic, metadata.CONFIDENCE, name, scale=scale)
        _write_style(crop.with_suffix(".qml"), style)
        found = summary.tally(out, (cube_id for cube_id, _ in mosaic.tiles()), classes)
        png, areas = crop.with_suffix(".png"), mosaic.areas()
        picture.draw(png, crop, classes, found, as_of, areas)
        tallies.append(found)
        crops.append(crop)
    _write_style(out / STYLE, style)
    total = summary.merge(tallies, classes)
    ids = (made.cube_id for group in groups for made in group.cubes)
    more = notes.after((metadata.read_metadata(out / cube_id) for cube_id in ids), trained)
    table = summary.table(total, classes)
    lines = [table, *(f"note: {note}" for note in known + more)]
    files.write_bytes(out / TEXT, ("\n".join(lines) + "\n").encode())
    summary.write_csv(out / SUMMARY, total.rows(classes))
    return Result(table, more, crops, out / SUMMARY)


def _write_style(path: pathlib.Path, style: bytes) -> None:
    # One that is there was changed by somebody, or is the same.
    if not path.exists():
        files.write_bytes(path, style)
