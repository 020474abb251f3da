"""Field data of the Iranian world: shapefiles per crop, points and Jalali calendars, as of a team.

`configs/prepare_isrc.py` reads them as it reads real ones. Real field data are mixed, so one crop
comes in a UTM zone and one in 3-D, a feature has two parts and another is there twice.
"""

import collections
import dataclasses
import os
import pathlib
from collections.abc import Mapping

import geopandas
import jdatetime
import numpy as np
import openpyxl
import pandas
import rasterio.features
import shapely
from affine import Affine

from cropmap_jax.geo import calendars, geotiffs, grid
from cropmap_jax.geo.legend import ISRC
from cropmap_jax.sources.simulator import field_data_files, fields, run, sites, worlds

FOLDERS = {name: name.capitalize() for name in ISRC.names} | {"sugarbeet": "SugarBeet"}
"""{class: folder}."""
KINDS = {
    "canola": ("کلزا", "Canola"),
    "cotton": ("پنبه", "Cotton"),
    "lentils": ("عدس", "Lentils_Irrigated"),
    "lentils_autumn": ("عدس", "Lentils_Autumn"),
    "maize": ("ذرت", "Maize"),
    "onion_early": ("پیاز", "Onion_Summer"),
    "onion_late": ("پیاز", "Onion_Autumn"),
    "pea": ("نخود", "Pea_Irrigated"),
    "pea_autumn": ("نخود", "Pea_Autumn"),
    "sugarbeet": ("چغندر قند بهاره", "SugarBeet_Spring"),
    "sugarbeet_autumn": ("چغندر قند پاییزه", "SugarBeet_Autumn"),
    "tomato": ("Tomato", "Tomato_Summer"),
    "wheat": ("گندم آبی", ""),  # irrigated wheat
    "barley": ("جو دیم", ""),  # rainfed barley, as it grows in this world
    "lucerne": ("یونجه", ""),
    "potato": ("صیفی جات_سیب زمینی", ""),  # summer vegetables, potato
    "sunflower": ("آفتابگردان", ""),
    "orchard": ("باغ", ""),
    "fallow": ("آیش", ""),
}
"""{kind of the world: (what the team wrote, sheet of the workbook or "")}."""
UNLISTED = "sunflower"
"""Kind whose name `configs/prepare_isrc.py` does not list: real texts are never all foreseen."""
UNUSED_SHEETS = ("Onion_Spring", "Onion_Winter", "Tomato_Winter")
"""Sheets of seasons that the world does not have: nothing but dashes."""
TITLES = ("Province", "Planting Start Date", "Planting End Date", "Harvest Start Date",
          "Harvest End Date")  # fmt: skip
NAME_COLUMN = "نام_م"
WGS84, WEB_MERCATOR = 4326, 3857

UTM_CROP, UTM = "maize", 32639
SOLID_CROP, HEIGHT_M = "pea", 1200.0
TWO_PART_CROP = "onion"
TWICE_CROP = "canola"

_JALALI = 622  # agricultural year 1400-1401 is harvested in 2022
_PLANTING_WEEKS = 4
_MARGIN_M = 5000.0


@dataclasses.dataclass(frozen=True)
class Summary:
    """What was written.

    Args:
      fields: {class: fields}, each counted once.
      points: {what the team wrote: points}.
      hectares: of the fields.
      forms: {what is out of the ordinary: how many}.
    """

    fields: Mapping[str, int]
    points: Mapping[str, int]
    hectares: float
    forms: Mapping[str, int]

    def __str__(self) -> str:
        odd = ", ".join(f"{count} {what}" for what, count in self.forms.items())
        return (
            f"{sum(self.fields.values())} fields of {len(self.fields)} crops, "
            f"{self.hectares:.0f} ha; {sum(self.points.values())} points of other crops; "
            f"in other forms: {odd or 'none'}"
        )


def check(settings: sites.Settings, out: str | os.PathLike[str]) -> None:
    """Requires a world of the eight crops with known fields, and a place to write.

    Raises:
      ValueError: a map's labels, another legend, or a folder that holds something.
    """
    legend = worlds.find(settings.world).legend
    if settings.label == "map" or legend != ISRC:
        raise ValueError(
            f"--field_data: expected a world of the legend {ISRC.name!r} and config.label 'teams' "
            f"or 'truth', found world {settings.world!r} of {legend.name!r} and {settings.label!r}"
        )
    path = pathlib.Path(out)
    if path.exists() and not (path.is_dir() and not any(path.iterdir())):
        raise ValueError(f"--field_data: expected a new folder or an empty one, found {path}")


def write(
    settings: sites.Settings, cubes_dir: str | os.PathLike[str], out: str | os.PathLike[str]
) -> Summary:
    """Writes the annotated fields of a simulated world as field data, whole or not at all.

    Fields of the eight crops become polygons along the edges of their pixels; fields of other crops
    become a point each, of the year after, with a free text of what truly grows.

    Args:
      settings: what was simulated.
      cubes_dir: its cubes, all of them.
      out: folder to make.

    Raises:
      ValueError: see `check`; a cube that is missing or was made with other settings.
    """
    check(settings, out)
    everything = sites.list_sites(settings)
    _check_cubes(settings, everything, pathlib.Path(cubes_dir))
    world = worlds.find(settings.world)
    found = [annotated_fields(settings, site, cubes_dir) for site in everything]
    if not any(map(len, found)):
        raise ValueError(f"{cubes_dir}: expected annotated fields, found none")
    table = pandas.concat([own for own in found if len(own)], ignore_index=True)
    crops, others = table[table.label != ""], table[table.label == ""]
    rng = np.random.default_rng(settings.seed)
    first = world.year - _JALALI
    out = pathlib.Path(os.path.abspath(out))
    with field_data_files.making(out) as part:
        forms = _write_crops(crops, part / "crops", first, rng)
        points = _write_others(others, part / "crops", first + 1)
        _write_provinces(settings, everything, part / "provinces")
        _write_workbook(world, everything, part / "CropsCalendar.xlsx")
    if unlisted := points.get(KINDS[UNLISTED][0]):
        forms["points of a name that the config does not list"] = unlisted
    count = collections.Counter(crops.label)
    counts = {crop: count[crop] for crop in FOLDERS if count[crop]}
    return Summary(counts, points, float(crops.hectares.sum()), forms)


def _check_cubes(
    settings: sites.Settings, everything: list[sites.Site], cubes_dir: pathlib.Path
) -> None:
    for site in everything:
        for cube_id in sites.cube_ids(settings, site):
            if not (cubes_dir / cube_id).is_dir():
                raise ValueError(f"{cubes_dir / cube_id}: expected a simulated cube, found none")
    run.check_existing(settings, everything, cubes_dir)


def annotated_fields(
    settings: sites.Settings, site: sites.Site, cubes_dir: str | os.PathLike[str]
) -> geopandas.GeoDataFrame:
    """The fields of a site, whole, also where they lie on several tiles.

    Returns:
      A row per field in EPSG:4326: `label` (class, "" for none of these), `kind` (key of the
      world's kinds), `hectares`, `inside` (the point farthest from its border) and its outline.

    Raises:
      ValueError: the cubes' fields are not those that the simulator lays out.
    """
    label, ids = (_mosaic(settings, site, cubes_dir, name) for name in ("label", "fields"))
    ground = _plant(settings, site)
    known = ids > 0
    if (ids != ground.parcel)[known].any() or (label != ground.truth)[known].any():
        raise ValueError(
            f"{cubes_dir}: expected the fields that this version makes at {site.region.name}, "
            f"{grid.tile_id(site.region.epsg, site.col, site.row)}, found others"
        )
    corner = grid.tile_geobox(site.region.epsg, site.col, site.row + settings.tiles - 1)
    numbers, outlines = outline(ids, corner.affine)
    kinds = [list(worlds.find(settings.world).kinds.items())[k] for k in ground.kind[numbers - 1]]
    inside = shapely.get_point(shapely.maximum_inscribed_circle(outlines, tolerance=1.0), 0)
    crs = site.region.epsg
    return geopandas.GeoDataFrame(
        {
            "label": [kind.label or "" for _, kind in kinds],
            "kind": [key for key, _ in kinds],
            "hectares": shapely.area(outlines) / 1e4,
            "inside": geopandas.GeoSeries(inside, crs=crs).to_crs(WGS84),
        },
        geometry=geopandas.GeoSeries(outlines, crs=crs).to_crs(WGS84),
    )


def outline(ids: np.ndarray, affine: Affine) -> tuple[np.ndarray, np.ndarray]:
    """Outlines of numbered pieces of ground along the edges of their pixels.

    Args:
      ids: uint32 [H, W], 0 for none; pixels that touch at a corner only are two pieces.
      affine: of the grid.

    Returns:
      int64 [N] numbers in ascending order, and N valid polygons with the grid's coordinates.
    """
    found = rasterio.features.shapes(
        ids.astype(np.int32), mask=ids > 0, connectivity=4, transform=affine
    )
    rows = sorted(((int(n), shapely.geometry.shape(g)) for g, n in found), key=lambda row: row[0])
    outlines = np.empty(len(rows), object)
    outlines[:] = [polygon for _, polygon in rows]
    return np.array([number for number, _ in rows], np.int64), outlines


def _mosaic(
    settings: sites.Settings, site: sites.Site, cubes_dir: str | os.PathLike[str], name: str
) -> np.ndarray:
    """A raster of all tiles of a site, as they lie on the ground."""
    size = settings.tiles * grid.TILE_PX
    out = np.zeros((size, size), np.uint32)
    for cube_id, (i, j) in sites.cube_ids(settings, site).items():
        with geotiffs.open_geotiff(pathlib.Path(cubes_dir) / cube_id / f"{name}.tif") as raster:
            row, col = i * grid.TILE_PX, j * grid.TILE_PX
            out[row : row + grid.TILE_PX, col : col + grid.TILE_PX] = raster.read(1)
    return out


def _plant(settings: sites.Settings, site: sites.Site) -> fields.Ground:
    """What grows on a site: cubes keep the class, not the kind."""
    # The site's first stream of random numbers, as in `sites.simulate_site`.
    place = [settings.seed, site.region.epsg, site.col, site.row]
    rng = np.random.default_rng(np.random.SeedSequence(place).spawn(1)[0])
    size = settings.tiles * grid.TILE_PX
    return fields.plant(worlds.find(settings.world), site.region, (size, size), rng)


def _texts(table: geopandas.GeoDataFrame) -> list[str]:
    return [KINDS[kind][0] for kind in table.kind]


def _write_crops(
    table: geopandas.GeoDataFrame, folder: pathlib.Path, first: int, rng: np.random.Generator
) -> dict[str, int]:
    """Writes a shapefile per crop; returns how many features have another form than most."""
    season = f"{first}-{first + 1}"
    forms: collections.Counter[str] = collections.Counter()
    for crop, name in FOLDERS.items():
        own = table[table.label == crop]
        if own.empty:
            continue
        layer = geopandas.GeoDataFrame(
            {"Product": _texts(own), "Agriyear": f"{first}-{(first + 1) % 100:02d}"},
            geometry=own.geometry.array,
        )
        if crop == UTM_CROP:
            layer = layer.to_crs(UTM)
            forms[f"fields in EPSG:{UTM}"] = len(layer)
        if crop == SOLID_CROP:
            layer = layer.set_geometry(shapely.force_3d(layer.geometry.array, HEIGHT_M))
            forms["fields in 3-D"] = len(layer)
        if crop == TWO_PART_CROP and len(layer) > 1:
            layer = _join_two(layer, rng)
            forms["feature of two parts"] = 1
        if crop == TWICE_CROP:
            layer = pandas.concat([layer, _again(layer, rng)], ignore_index=True)
            forms["feature that is there twice"] = 1
        field_data_files.write_shapefile(
            layer, folder / name / "GCP" / season / f"{name}_GCP_Tr_{season}.shp"
        )
    return dict(forms)


def _join_two(layer: geopandas.GeoDataFrame, rng: np.random.Generator) -> geopandas.GeoDataFrame:
    """A field drawn at random and the one nearest to it as one feature."""
    shapes = layer.geometry.values
    one = int(rng.integers(len(layer)))
    away = shapely.distance(shapes, shapes[one])  # degrees: good enough to find the nearest
    away[one] = np.inf
    other = int(away.argmin())
    joined = layer.copy()
    joined.loc[one, "geometry"] = shapely.MultiPolygon([shapes[one], shapes[other]])
    return joined.drop(index=other)


def _again(layer: geopandas.GeoDataFrame, rng: np.random.Generator) -> geopandas.GeoDataFrame:
    """A field drawn at random once more, its ring begun elsewhere, as if drawn by another hand."""
    row = layer.iloc[[int(rng.integers(len(layer)))]].copy()
    shape = row.geometry.values[0]
    ring = shape.exterior.coords[:-1]
    return row.set_geometry([shapely.Polygon([*ring[2:], *ring[:2]], shape.interiors)], crs=row.crs)


def _write_others(
    table: geopandas.GeoDataFrame, folder: pathlib.Path, first: int
) -> dict[str, int]:
    """Writes the points of fields that are none of the eight crops; returns them by name."""
    if table.empty:
        return {}
    season = f"{first}-{first + 1}"
    layer = geopandas.GeoDataFrame(
        {"FID_": np.arange(1, len(table) + 1), NAME_COLUMN: _texts(table)},
        geometry=table.inside.array,
    )
    field_data_files.write_shapefile(
        layer, folder / "Other" / season / f"OtherCrop_GCP_Tr_{season}.shp"
    )
    return {str(k): int(n) for k, n in layer[NAME_COLUMN].value_counts().items()}


def _write_provinces(
    settings: sites.Settings, everything: list[sites.Site], folder: pathlib.Path
) -> None:
    """Writes a rectangle per region around its sites."""
    names, shapes = [], []
    for region in _regions(everything):
        own = [site for site in everything if site.region.name == region.name]
        around = shapely.box(
            min(s.col for s in own) * grid.TILE_M - _MARGIN_M,
            min(s.row for s in own) * grid.TILE_M - _MARGIN_M,
            (max(s.col for s in own) + settings.tiles) * grid.TILE_M + _MARGIN_M,
            (max(s.row for s in own) + settings.tiles) * grid.TILE_M + _MARGIN_M,
        )
        names.append(region.name)
        shapes.append(geopandas.GeoSeries([around], crs=region.epsg).to_crs(WEB_MERCATOR)[0])
    layer = geopandas.GeoDataFrame(
        {"province": names}, geometry=shapely.envelope(shapes), crs=WEB_MERCATOR
    )
    field_data_files.write_shapefile(layer, folder / "Iran_Provinces.shp")


def _write_workbook(world: worlds.World, everything: list[sites.Site], path: pathlib.Path) -> None:
    """Writes a sheet per season with a row per province, dashes where nothing is sown."""
    book = openpyxl.Workbook()
    book.remove(book.active)
    regions = _regions(everything)
    for sheet in (*(own for _, own in KINDS.values() if own), *UNUSED_SHEETS):
        book.create_sheet(sheet).append(TITLES)
    for region in regions:
        dates = {KINDS[kind][1]: season for kind, season in seasons_of(world, region).items()}
        for sheet in book:
            sheet.append((region.name, *_row(dates.get(sheet.title))))
    field_data_files.write_workbook(book, path)


def _row(season: calendars.Season | None) -> tuple[str, ...]:
    if season is None:
        return ("-",) * (len(TITLES) - 1)
    days = [jdatetime.date.fromgregorian(date=day)
            for day in (season.planting, season.harvest_start, season.harvest_end)]  # fmt: skip
    days.insert(0, days[0] - jdatetime.timedelta(weeks=_PLANTING_WEEKS))
    return tuple(f"{day.month:02d}-{day.day:02d}" for day in days)


def seasons_of(world: worlds.World, region: worlds.Region) -> dict[str, calendars.Season]:
    """{kind: its season} of a region, where `World.calendar` has {class: seasons}."""
    left = {crop: list(seasons) for crop, seasons in world.calendar(region).items()}
    found = {}
    for key in world.seasons:
        label = world.kinds[key].label
        if label is not None and region.weights.get(key, 1.0) > 0:
            found[key] = left[label].pop(0)
    return found


def _regions(everything: list[sites.Site]) -> list[worlds.Region]:
    """Regions that have a site, in the order of sites."""
    return list({site.region.name: site.region for site in everything}.values())
