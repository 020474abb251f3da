"""Compares simulated European cubes with real data and reports what passes.

Prints a table, writes believable.json and three pictures under --out. Real data are read from
--real or CROPMAP_REAL; see `real` for what they are.
"""

import json
import math
import os
import pathlib
from collections.abc import Mapping

import numpy as np
import pandas as pd

from benchmarks.simulator import compare, missing, plots, real, simulated, speckle
from cropmap_jax.geo import composites
from cropmap_jax.geo.sensors import SENSORS

CROPS = ("common_wheat", "maize", "rapeseed", "potatoes", "sugar_beet")
ALSO = ("barley", "sunflower", "grassland")
"""Shown and scored where both sides have them, not required."""
# In order of preference. The fields of Tervuren are few but hundreds of pixels each.
REFERENCES = {
    "France 2023": (real.french_reference, 5),
    "LUCAS 2018": (real.lucas_reference, 5),
    "Tervuren 2022": (real.tervuren_reference, 1),
}
DATES = ("scene, one date",)
COMPOSITES = ("scene, mean of 10 dates", "Belgium, months", "Tervuren, months")


def add_arguments(parser) -> None:
    parser.add_argument(
        "--real", default=os.environ.get("CROPMAP_REAL"), help="folder of real data"
    )
    parser.add_argument("--cubes", required=True, help="folder of simulated cubes")
    parser.add_argument("--truth", help="folder of their truths; default: truth next to --cubes")
    parser.add_argument("--out", required=True, help="folder of the pictures and of the JSON")
    parser.add_argument("--speckle_cubes", type=int, default=12, help="cubes that speckle is from")


def run(args) -> None:
    if not args.real:
        raise ValueError("--real: expected the folder of real data, found none (nor CROPMAP_REAL)")
    out = pathlib.Path(args.out)
    truth = args.truth or pathlib.Path(args.cubes).resolve().parent / "truth"
    made = simulated.simulated_monthly(simulated.read_cubes(args.cubes), truth)
    tables = {name: (read(args.real), least) for name, (read, least) in REFERENCES.items()}
    rows, best = score_monthly(tables, made)
    shares = {name: missing.by_month(t) for name, t in real.missing_shares(args.real).items()}
    clouds = missing.by_month(simulated.simulated_missing(simulated.read_cubes(args.cubes)))
    missed = {name: compare.missing_comparison(share, clouds) for name, share in shares.items()}
    looks = {name: bands(s1) for name, s1 in real.speckle_images(args.real).items()}
    own = {
        "simulated, one date": bands(simulated.simulated_dates()),
        "simulated, months": bands(
            *[c.pixels["s1"] for c in simulated.read_cubes(args.cubes, args.speckle_cubes)]
        ),
    }
    judged = {
        name: {
            band: compare.speckle_verdict(one, [looks[real_name][band] for real_name in alike])
            for band, one in own[name].items()
        }
        for name, alike in zip(own, (DATES, COMPOSITES), strict=True)
    }
    report(rows, best, missed, looks, own, judged)

    curves = {name: table[table.n >= least] for name, (table, least) in tables.items()}
    drawn = CROPS + tuple(crop for crop in ALSO if crop in set(made.crop))
    plots.monthly_curves(curves, made, drawn, out / "believable_monthly.png")
    plots.missing_bars(shares, clouds, out / "believable_missing.png")
    plots.speckle_panels(looks, own, out / "believable_speckle.png")
    results = {
        "references": rows.to_dict("records"),
        "verdicts": best.to_dict("records"),
        "missing": missed,
        "missing_by_month": {
            name: table.reset_index().to_dict("records")
            for name, table in {**shares, "simulated": clouds}.items()
        },
        "speckle": {
            name: {band: one.to_json() for band, one in both.items()}
            for name, both in {**looks, **own}.items()
        },
        "speckle_verdicts": judged,
    }
    (out / "believable.json").write_text(json.dumps(tidy(results), indent=1) + "\n")
    print(f"\nwritten: {out}/believable.json, believable_monthly.png, _missing.png, _speckle.png")


def score_monthly(tables: Mapping[str, tuple[pd.DataFrame, int]], made: pd.DataFrame):
    """(a row per reference, crop and variable; a verdict per crop and variable)."""
    rows = []
    for name, (table, least) in tables.items():
        crops = [c for c in CROPS + ALSO if c in CROPS or {c} <= set(table.crop) & set(made.crop)]
        scored = compare.compare_monthly(table, made, crops, least)
        rows.append(scored.assign(reference=name))
    rows = pd.concat(rows, ignore_index=True)
    order = {crop: i for i, crop in enumerate(CROPS + ALSO)}
    rows = rows.sort_values("crop", key=lambda crop: crop.map(order), kind="stable")
    return rows, compare.verdicts(rows)


def bands(*images: np.ndarray) -> dict[str, speckle.Speckle]:
    """Speckle of VV and VH, pooled over images float [T, H, W, 2] in dB."""
    power = [composites.db_to_linear(image.astype(np.float64)) for image in images]
    return {
        band: speckle.pooled_speckle([one[..., i] for one in power])
        for i, band in enumerate(SENSORS["s1"].bands)
    }


def report(rows, best, missed, looks, own, judged) -> None:
    """Prints the results as tables."""
    there = rows[rows.verdict != compare.NO_DATA]
    columns = ["crop", "variable", "reference", "months", "real_parcels", "simulated_parcels"]
    columns += ["r", "difference", "bias", "amplitude", "verdict"]
    print(there[columns].round(2).to_string(index=False))
    print("\nverdicts (against one reference as a whole)")
    print(best.to_string(index=False))
    print("\nmissing S2, mean share over the months both have")
    print(pd.DataFrame(missed).T.to_string(float_format="{:.2f}".format))
    print("\nspeckle in homogeneous windows: ENL (quartiles), correlation of neighbours")
    for name, both in {**looks, **own}.items():
        for band, one in both.items():
            verdict = judged.get(name, {}).get(band, "")
            span = f"({one.enl_low:.1f} to {one.enl_high:.1f})"
            print(f"  {name:24} {band} {one.enl:6.1f} {span:18} {one.lag1:5.2f}  {verdict}")


def tidy(value):
    """The same with rounded floats, and None for NaN, which JSON does not know."""
    if isinstance(value, Mapping):
        return {str(key): tidy(one) for key, one in value.items()}
    if isinstance(value, (list, tuple)):
        return [tidy(one) for one in value]
    if isinstance(value, (float, np.floating)):
        return round(float(value), 4) if math.isfinite(value) else None
    return int(value) if isinstance(value, np.integer) else value
