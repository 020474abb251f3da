"""The real landscapes that simulated ones are measured against, as monthly tables.

The data are not part of the project: a folder is given by `--real` or CROPMAP_REAL. References:

    france   500 parcels of the French parcel register, harvest 2023, one 10 m pixel each, S1 and
             S2 in dekads. WorldCereal/worldcereal-classification, MIT.
    lucas    LUCAS 2018 points of common wheat, maize and bare soil over Europe, S1 in dekads,
             sigma-0. ec-jrc/eucropmap; d'Andrimont et al. (2021), arXiv:2105.09261.
    tervuren two potato fields in Belgium, 2022, S1 and S2 in dekads. ScaleAGData/scaleag-vito.
    belgium  1 km2 in Belgium with classes of the WorldCereal 2021 map, S1 and S2 by month.
"""

import datetime as dt
import pathlib
from collections.abc import Sequence

import numpy as np
import pandas as pd
import xarray as xr

from benchmarks.simulator import missing, monthly, parcels
from cropmap_jax.geo import composites, periods
from cropmap_jax.geo.periods import Period
from cropmap_jax.geo.sensors import SENSORS

FRANCE = "tables/france_lpis_2023_dekads.parquet"
LUCAS = "eucropmap/lucas_2018_s1_dekads.npz"
TERVUREN = "cubes/tervuren_2022_potato.npz"
BELGIUM = "cubes/belgium_2021_worldcereal.npz"
SCENE = "scenes/cdse_sentinel1_grd.nc"

# WorldCereal's crop codes, under the names of EUCROPMAP's legend where it has the class. Winter and
# spring barley are apart: they differ by three months. Spring forms of other cereals and of
# rapeseed (one or two parcels each) are left out for the same reason.
FRENCH_CROPS = {
    "common_wheat": (1101010011,),
    "durum_wheat": (1101010021,),
    "spelt": (1101010040,),
    "barley": (1101020011,),
    "spring_barley": (1101020012,),
    "rye": (1101030011,),
    "oats": (1101040011,),
    "triticale": (1101050001,),
    "maize": (1101060000, 1101060001),
    "sorghum": (1101070000,),
    "potatoes": (1107000010,),
    "sunflower": (1106000010,),
    "rapeseed": (1106000031,),
    "soya": (1106000020,),
    "dry_pulses": (1105010032, 1105010022, 1105000030),
    "fodder_crops": (1111040000, 1111020010, 1111020030),
    "grassland": (2001020021, 2001020022, 2000000000),
    "vineyard": (1201000010,),
    "fallow": (1115000000,),
}
LUCAS_CROPS = {211: "common_wheat", 216: "maize", 600: "bare"}
NORTH = 46.0
"""Degrees: the French parcels lie in two groups, 43.3 to 44.4 and 47.5 to 48.8 north."""
_MISSING = 65535
_S1, _S2 = SENSORS["s1"], SENSORS["s2"]


def find(real_dir: str | pathlib.Path, name: str) -> pathlib.Path:
    """Path of a file of real data.

    Raises:
      ValueError: names the folder and the file that is not there.
    """
    path = pathlib.Path(real_dir) / name
    if not path.is_file():
        raise ValueError(f"--real {real_dir}: expected {name} in it, found no such file")
    return path


def french_parcels(real_dir: str | pathlib.Path) -> tuple[dict, pd.DataFrame, list[Period]]:
    """Dekads of the French parcels.

    Returns:
      {"s1": float32 [T, P, 2] dB, "s2": float32 [T, P, 10] reflectance, "precipitation": [T, P]
      mm, "temperature": [T, P] degrees C}, NaN missing; a table of P parcels (sample_id, crop,
      ewoc_code, lon, lat), crop "" where the code is not in FRENCH_CROPS; T dekads.
    """
    rows = pd.read_parquet(find(real_dir, FRANCE))
    crop_of = {code: crop for crop, codes in FRENCH_CROPS.items() for code in codes}
    points = rows.drop_duplicates("sample_id").sort_values("sample_id")
    points = points[["sample_id", "ewoc_code", "lon", "lat"]].reset_index(drop=True)
    points["crop"] = points.ewoc_code.map(crop_of).fillna("")
    stamps = rows.timestamp.dt.date
    spans = periods.dekad_periods(stamps.min(), stamps.max())
    at = stamps.map({span.start: i for i, span in enumerate(spans)}).to_numpy()
    who = rows.sample_id.map(pd.Series(points.index, points.sample_id)).to_numpy()

    def column(name: str) -> np.ndarray:
        stored = rows[name].to_numpy(np.float32)
        out = np.full((len(spans), len(points)), np.nan, np.float32)
        out[at, who] = np.where(stored == _MISSING, np.nan, stored)
        return out

    s1 = [20 * np.log10(column(f"S1-SIGMA0-{band}")) - 83 for band in _S1.bands]
    names = [f"S2-L2A-{b if b == 'B8A' else f'B{int(b[1:]):02d}'}" for b in _S2.bands]
    values = {
        "s1": np.stack(s1, -1),
        "s2": np.stack([column(name) / _S2.scale for name in names], -1),
        "precipitation": column("AGERA5-PRECIP") / 100,
        "temperature": column("AGERA5-TMEAN") / 100 - 273.15,
    }
    return values, points, list(spans)


def monthly_table(
    s1_db: np.ndarray | None,
    s2: np.ndarray | None,
    spans: Sequence[Period],
    crops: Sequence[str],
    harvest_year: int,
) -> pd.DataFrame:
    """Composites parcels' dekads into months, by the rule of the cubes, and tabulates them.

    Args:
      s1_db: float [T, P, 2] dB or None; s2: float [T, P, 10] reflectance or None; NaN missing.
      spans: T periods.
      crops: P names; parcels named "" are left out.
      harvest_year: year whose January is month 1.
    """
    months = periods.month_periods(spans[0].start, spans[-1].end - dt.timedelta(days=1))
    keep = np.array([bool(crop) for crop in crops])

    def merged(values: np.ndarray | None, sensor: str) -> np.ndarray | None:
        if values is None:
            return None
        found = composites.composite(values[:, keep, None], spans, months, SENSORS[sensor])
        return found[0][:, :, 0]

    values = monthly.features(merged(s1_db, "s1"), merged(s2, "s2"))
    names = np.asarray(crops)[keep]
    return monthly.tabulate(values, monthly.season_months(months, harvest_year), names)


def french_reference(real_dir: str | pathlib.Path, north: bool | None = None) -> pd.DataFrame:
    """Monthly table of the French parcels of harvest 2023, September 2022 (-3) to January 2024.

    Args:
      real_dir: folder of real data.
      north: only parcels north (True) or south (False) of NORTH; None for all.

    Raises:
      ValueError: the file is not there.
    """
    values, points, spans = french_parcels(real_dir)
    crops = points.crop
    if north is not None:
        crops = crops.where((points.lat > NORTH) == north, "")
    return monthly_table(values["s1"], values["s2"], spans, list(crops), 2023)


def lucas_reference(real_dir: str | pathlib.Path) -> pd.DataFrame:
    """Monthly S1 table of the LUCAS 2018 points: common_wheat, maize and bare, months 1 to 12."""
    with np.load(find(real_dir, LUCAS)) as stored:
        values, codes = stored["X"], stored["labels"]
    # 36 VH, then 36 VV.
    s1 = np.stack([values[:, 36:].T, values[:, :36].T], -1)
    spans = periods.dekad_periods(dt.date(2018, 1, 1), dt.date(2018, 12, 31))
    return monthly_table(s1, None, spans, [LUCAS_CROPS.get(int(c), "") for c in codes], 2018)


def read_npz(path: pathlib.Path) -> tuple[np.ndarray, np.ndarray, np.ndarray, list[str], list]:
    """(s1_db [T, H, W, 2], s2 [T, H, W, 10], label [H, W], class names, periods) of a real cube."""
    with np.load(path) as stored:
        pairs = zip(stored["period_start"], stored["period_end"], strict=True)
        spans = [Period(dt.date.fromisoformat(a), dt.date.fromisoformat(b)) for a, b in pairs]
        names = [str(name) for name in stored["class_names"]]
        return stored["s1_db"], stored["s2"], stored["label"], names, spans


def cube_reference(real_dir: str | pathlib.Path, name: str, harvest_year: int, min_pixels=9):
    """Monthly table of a real cube's classes; parcels are the label's connected components."""
    s1, s2, label, names, spans = read_npz(find(real_dir, name))
    months = periods.month_periods(spans[0].start, spans[-1].start)
    s1, s2 = (
        composites.composite(v, spans, months, SENSORS[s])[0] for v, s in ((s1, "s1"), (s2, "s2"))
    )
    ids, of = parcels.label_parcels(label, len(names))
    values, found = parcels.parcel_means(monthly.features(s1, s2), ids, min_pixels)
    crops = [names[of[int(i)]] for i in found]
    return monthly.tabulate(values, monthly.season_months(months, harvest_year), crops)


def tervuren_reference(real_dir: str | pathlib.Path) -> pd.DataFrame:
    """Monthly table of two Belgian potato fields, 2022, under EUCROPMAP's name "potatoes"."""
    table = cube_reference(real_dir, TERVUREN, 2022)
    return table[table.crop == "potato"].assign(crop="potatoes").reset_index(drop=True)


def belgian_reference(real_dir: str | pathlib.Path) -> pd.DataFrame:
    """Monthly table of the Belgian cube's five map classes, harvest 2021, months -4 to 15."""
    return cube_reference(real_dir, BELGIUM, 2021)


def speckle_images(real_dir: str | pathlib.Path) -> dict[str, np.ndarray]:
    """S1 in dB [T, H, W, 2] of the real images, as single dates and as composites of a month.

    "scene" is one Belgian window of April 2023 on ten dates, Open-EO/openeo-gfmap, Apache-2.0.
    """
    with xr.open_dataset(find(real_dir, SCENE), engine="h5netcdf") as scene:
        stored = [scene[f"S1-SIGMA0-{band}"].values.astype(np.float64) for band in _S1.bands]
    dates = 20 * np.log10(np.stack(stored, -1)) - 83
    month = composites.linear_to_db(composites.db_to_linear(dates).mean(0, keepdims=True))
    tervuren, _, _, _, spans = read_npz(find(real_dir, TERVUREN))
    months = periods.month_periods(spans[0].start, spans[-1].start)
    return {
        "scene, one date": dates,
        "scene, mean of 10 dates": month,
        "Belgium, months": read_npz(find(real_dir, BELGIUM))[0],
        "Tervuren, months": composites.composite(tervuren, spans, months, SENSORS["s1"])[0],
    }


def missing_shares(real_dir: str | pathlib.Path) -> dict[str, pd.DataFrame]:
    """`missing.missing_share` of monthly composites: the French parcels and the two cubes."""
    values, _, spans = french_parcels(real_dir)
    sources = {"France, parcels": (values["s2"][:, :, None], spans)}
    for name, file in (("Belgium, cube", BELGIUM), ("Tervuren, cube", TERVUREN)):
        _, s2, _, _, own = read_npz(find(real_dir, file))
        sources[name] = (s2, own)
    out = {}
    for name, (s2, own) in sources.items():
        months = periods.month_periods(own[0].start, own[-1].end - dt.timedelta(days=1))
        found, _ = composites.composite(s2, own, months, SENSORS["s2"])
        out[name] = missing.missing_share(found, months)
    return out
