"""One virtual raster per pixel grid over all cubes of a map, and its QGIS style."""

import dataclasses
import os
import pathlib
import xml.etree.ElementTree as ET
from collections.abc import Iterable

from cropmap_jax.geo import cube_io, files
from cropmap_jax.geo.legend import IGNORE, NONE_OF_THESE, Legend
from cropmap_jax.inference.mosaic_groups import Lattice, MosaicGroup
from cropmap_jax.inference.tiling import Box, bounds
from cropmap_jax.mapping.metadata import values
from cropmap_jax.mapping.summary import one_line


@dataclasses.dataclass(frozen=True)
class Kind:
    """Of the values of a raster.

    Args:
      gdal: GDAL's name of their type.
      nodata: value where there is nothing.
      unit: of the values; "" none.
    """

    gdal: str = "Byte"
    nodata: int = IGNORE
    unit: str = ""


@dataclasses.dataclass(frozen=True)
class Mosaic:
    """All that a map holds on one pixel grid.

    Args:
      name: what its files are called after, an EPSG code if the CRS has one.
      lattice: its grid.
      groups: its mosaic groups.
      place: on the lattice, the box around all its cubes.
    """

    name: str
    lattice: Lattice
    groups: tuple[MosaicGroup, ...]
    place: Box

    def tiles(self) -> Iterable[tuple[str, Box]]:
        """(cube id, pixels from the mosaic's upper left corner) of each cube."""
        for group in self.groups:
            for cube in group.cubes:
                yield cube.cube_id, cube.place.shift(-self.place.top, -self.place.left)

    def areas(self) -> list[Box]:
        """Box around each mosaic group, in pixels from the mosaic's upper left corner."""
        spans = (bounds([cube.place for cube in group.cubes]) for group in self.groups)
        return [span.shift(-self.place.top, -self.place.left) for span in spans]


def join(groups: list[MosaicGroup]) -> list[Mosaic]:
    """Mosaic groups by pixel grid: one mosaic per UTM zone where all cubes lie on the tile grid.

    A second grid of the same CRS gets a name of its own, e.g. "32639_2".
    """
    together: dict[Lattice, list[MosaicGroup]] = {}
    for group in groups:
        together.setdefault(group.lattice, []).append(group)
    mosaics: list[Mosaic] = []
    seen: dict[str, int] = {}
    for lattice, own in together.items():
        code = str(lattice.crs.to_epsg() or "local")
        seen[code] = seen.get(code, 0) + 1
        name = code if seen[code] == 1 else f"{code}_{seen[code]}"
        place = bounds([cube.place for group in own for cube in group.cubes])
        mosaics.append(Mosaic(name, lattice, tuple(own), place))
    return mosaics


def write_vrt(
    path: pathlib.Path,
    mosaic: Mosaic,
    raster: str,
    description: str,
    classes: Legend | None = None,
    scale: float | None = None,
    kind: Kind = Kind(),
) -> None:
    """Writes a GDAL virtual raster over one raster of every cube.

    Paths are relative: the folder may be moved. Cubes are written one after another, so that a
    map of any size takes no more memory.

    Args:
      path: the .vrt, in the folder that holds the cubes' folders.
      mosaic: the cubes and where they lie.
      raster: file in each cube's folder.
      description: of the band.
      classes: names and colours of a crop map.
      scale: physical value of one step.
      kind: of the raster's values.

    Raises:
      OSError: names the file.
    """
    height, width = mosaic.place.shape
    lattice, step = mosaic.lattice, mosaic.lattice.pixel
    x, y = lattice.x + mosaic.place.left * step, lattice.y - mosaic.place.top * step
    code = lattice.crs.to_epsg()
    crs = f"EPSG:{code}" if code else lattice.crs.to_wkt()
    head = [
        _element("SRS", crs, dataAxisToSRSAxisMapping="1,2"),
        _element("GeoTransform", ", ".join(repr(float(v)) for v in (x, step, 0, y, 0, -step))),
    ]
    with files.replacing(path) as part, open(part, "w", encoding="utf-8") as file:
        file.write(f'<VRTDataset rasterXSize="{width}" rasterYSize="{height}">\n')
        file.writelines(_lines(head))
        file.write(f'<VRTRasterBand dataType="{kind.gdal}" band="1">\n')
        file.writelines(_lines(_band(description, classes, scale, kind)))
        for cube_id, box in mosaic.tiles():
            file.writelines(_lines([_source(f"{cube_id}/{raster}", box, kind)]))
        file.write("</VRTRasterBand>\n</VRTDataset>\n")
        file.flush()
        os.fsync(file.fileno())


def _lines(elements: Iterable[ET.Element]) -> Iterable[str]:
    return (ET.tostring(element, encoding="unicode") + "\n" for element in elements)


def _element(tag: str, text: str | None = None, /, **attributes: object) -> ET.Element:
    # XML has no characters for what cannot be printed, not even escaped ones.
    element = ET.Element(tag, {key: one_line(str(value)) for key, value in attributes.items()})
    element.text = text and one_line(text)
    return element


def _band(
    description: str, classes: Legend | None, scale: float | None, kind: Kind
) -> list[ET.Element]:
    band = [_element("Description", description), _element("NoDataValue", str(kind.nodata))]
    if kind.unit:
        band.append(_element("UnitType", kind.unit))
    if scale:
        band.append(_element("Scale", repr(scale)))
    if classes is None:
        return [*band, _element("ColorInterp", "Gray")]
    band.append(_element("ColorInterp", "Palette"))
    table, names = _element("ColorTable"), _element("CategoryNames")
    colours, titles = cube_io.colour_table(classes), values(classes)
    for value in range(256):
        rgba = zip(("c1", "c2", "c3", "c4"), colours.get(value, (0, 0, 0, 255)), strict=True)
        table.append(_element("Entry", **dict(rgba)))
        names.append(_element("Category", titles.get(value, "")))
    return [*band, names, table]


def _source(file: str, box: Box, kind: Kind) -> ET.Element:
    height, width = box.shape
    size = {"xSize": width, "ySize": height}
    source = _element("SimpleSource")
    source.append(_element("SourceFilename", file, relativeToVRT=1, shared=0))
    source.append(_element("SourceBand", "1"))
    # With these a reader need not open every cube before it knows the mosaic.
    properties = {"RasterXSize": width, "RasterYSize": height, "DataType": kind.gdal}
    source.append(_element("SourceProperties", **properties))
    source.append(_element("SrcRect", xOff=0, yOff=0, **size))
    source.append(_element("DstRect", xOff=box.left, yOff=box.top, **size))
    return source


def style(classes: Legend) -> bytes:
    """A QGIS style (.qml): each class in its colour, under its title.

    QGIS loads it by itself where it lies next to a raster of the same name.
    """
    rows = [(i, c.colour, c.title) for i, c in enumerate(classes.classes)]
    grey = bytes(cube_io.colour_table(classes)[NONE_OF_THESE][:3]).hex()
    rows.append((NONE_OF_THESE, f"#{grey}", "None of these"))
    return palette_style(rows)


def palette_style(rows: Iterable[tuple[int, str, str]]) -> bytes:
    """A QGIS style (.qml) of (value, "#rrggbb", label)."""
    root = _element("qgis", version="3.22.0", styleCategories="Symbology")
    pipe = ET.SubElement(root, "pipe")
    renderer = _element(
        "rasterrenderer", type="paletted", band=1, opacity=1, alphaBand=-1, nodataColor=""
    )
    pipe.append(renderer)
    ET.SubElement(renderer, "rasterTransparency")
    palette = ET.SubElement(renderer, "colorPalette")
    for value, colour, title in rows:
        palette.append(_element("paletteEntry", value=value, color=colour, label=title, alpha=255))
    root.append(_element("blendMode", "0"))
    ET.indent(root)
    doctype = "<!DOCTYPE qgis PUBLIC 'http://mrcc.com/qgis.dtd' 'SYSTEM'>\n"
    return (doctype + ET.tostring(root, encoding="unicode") + "\n").encode()
