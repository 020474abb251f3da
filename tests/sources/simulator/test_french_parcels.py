"""The simulator against real fields; `benchmarks.simulator` measures more of it on more ground."""

import pytest

from benchmarks.simulator import compare, real, simulated
from cropmap_jax.sources.simulator import run, sites


def test_wheat_and_maize_look_as_french_ones_did(real_dir, tmp_path):
    if not (real_dir / real.FRANCE).is_file():
        pytest.skip(f"no {real_dir / real.FRANCE}")
    settings = sites.Settings(
        world="france", sites={"train": 2}, tiles=2, first="2022-10-01", last="2023-09-30",
        label="truth", seed=4,
    )  # fmt: skip
    run.simulate(settings, tmp_path / "cubes", tmp_path / "truth", workers=1)
    made = simulated.simulated_monthly(simulated.read_cubes(tmp_path / "cubes"), tmp_path / "truth")
    reference = real.french_reference(real_dir)
    rows = compare.compare_monthly(reference, made, ("common_wheat", "maize"))
    assert len(rows) == 6 and (rows.months == 12).all() and (rows.simulated_parcels >= 10).all()
    ndvi = rows[rows.variable == "NDVI"]
    assert (ndvi.r >= compare.MIN_R).all(), rows
    assert (ndvi.difference <= compare.MAX_NDVI_DIFFERENCE).all(), rows
    radar = rows[rows.variable != "NDVI"]
    assert (radar.bias.abs() <= compare.MAX_BIAS_DB).all(), rows
