"""Exported cubes that grow: only new periods are requested, and they are those of whole cubes."""

import dataclasses
import datetime as dt

import numpy as np
import pytest
import test_ee_download as base

from cropmap_jax.geo import cube_io, periods
from cropmap_jax.sources.earthengine import pieces
from cropmap_jax.sources.earthengine.options import Options, S2Options
from cropmap_jax.sources.manifest import Manifest

MONTHS = periods.month_periods(dt.date(2018, 1, 1), dt.date(2018, 4, 1))


def graphs(target, sensor, first=0, orbits=(7, 8)):
    """As `export.GraphSource`: of the periods from `first` on; orbits chosen over all of them."""
    names = pieces.bands_of(sensor, range(len(target.periods) - first), count=True)
    facts = {"direction": "ascending", "orbits": list(orbits)} if sensor == "s1" else {}
    place = [target.periods[first].name, target.cube_id]
    return {"sensor": sensor, "first": first}, f"{sensor} {place}", names, facts


class Client(base.FakeClient):
    """Answers for the periods that the graph is of: band p00 of a graph from 2 on is p02."""

    def fetch(self, expression, bands, where):
        first = expression["first"]
        with self.lock:
            self.asked[expression["sensor"], first, len(bands)] += 1
        return base.answer([_shifted(band, first) for band in bands], where)


def _shifted(band, first):
    number, _, name = band.partition("_")
    return f"p{int(number[1:]) + first:02d}_{name}" if name else band


def export(folder, count, client=None, made=graphs, options=None):
    client = client or Client()
    targets = base.make_targets(2, periods=MONTHS[:count])
    done, rows = base.export(folder, targets, client, options, graphs=made)
    return done, rows, dict(client.asked)


def rasters(folder):
    return {str(f.relative_to(folder)): f.read_bytes() for f in folder.glob("*/*.tif")}


def test_new_periods_alone_are_requested_and_make_whole_cubes(tmp_path):
    export(tmp_path / "whole", 4)
    export(tmp_path / "cubes", 2)
    done, _, asked = export(tmp_path / "cubes", 4)
    assert (done.whole, done.appended, done.kept, done.failed) == (2, 2, 0, {})
    # Neither the label nor the first two periods.
    assert asked == {("s1", 2, 2 * 2): 2, ("s2", 2, 2 * 11): 2}
    assert rasters(tmp_path / "cubes") == rasters(tmp_path / "whole")
    for info in cube_io.list_cubes(tmp_path / "cubes"):
        assert [first for first, _ in info.source["parts"]] == ["2018-01-01", "2018-03-01"]
    assert base.left_over(tmp_path / "cubes") == []
    done, _, asked = export(tmp_path / "cubes", 4)
    assert (done.kept, asked) == (2, {})


def test_other_orbits_bring_all_of_the_radar_again(tmp_path):
    export(tmp_path / "whole", 4)
    export(tmp_path / "cubes", 2, made=lambda *a: graphs(*a, orbits=(8, 7)))
    for info in cube_io.list_cubes(tmp_path / "cubes"):
        raw = cube_io.read_raw(info.folder)
        raw.pixels["s1"][:] = -7
        cube_io.write_cube(raw, tmp_path / "cubes", overwrite=True)
    done, _, asked = export(tmp_path / "cubes", 4)
    assert done.appended == 2 and asked[("s1", 0, 4 * 2)] == 2
    assert rasters(tmp_path / "cubes") == rasters(tmp_path / "whole")


def test_answers_are_kept_when_a_growing_cube_fails(tmp_path):
    class Broken(Client):
        def fetch(self, expression, bands, where):
            if expression["sensor"] == "s2":
                raise base.Busy("busy")
            return super().fetch(expression, bands, where)

    export(tmp_path / "whole", 3)
    export(tmp_path / "cubes", 2)
    before = rasters(tmp_path / "cubes")
    done, _, _ = export(tmp_path / "cubes", 3, Broken())
    assert len(done.failed) == 2 and rasters(tmp_path / "cubes") == before
    done, _, asked = export(tmp_path / "cubes", 3)
    assert (done.appended, done.reused) == (2, 2) and asked == {("s2", 2, 11): 2}
    assert rasters(tmp_path / "cubes") == rasters(tmp_path / "whole")


def test_other_settings_are_refused_before_anything_is_requested(tmp_path):
    export(tmp_path, 2)
    options = Options(s2=S2Options(threshold=0.9))
    with Manifest(tmp_path) as book, pytest.raises(ValueError) as error:
        base.download.run(
            base.make_targets(2, periods=MONTHS), options, base.no_graphs, base.NoClient(), book,
            tmp_path,
        )  # fmt: skip
    assert "0.9" in str(error.value) and "periods" not in str(error.value)


def test_a_satellite_that_ends_before_the_new_period_leaves_it_missing(tmp_path):
    """The graph of the new period alone could not be made; that of all periods can."""
    months = periods.month_periods(dt.date(2021, 11, 1), dt.date(2022, 1, 1))
    options = dataclasses.replace(Options(), s1=dataclasses.replace(Options().s1, platforms=("B",)))
    for count in (2, 3):
        client = Client()
        targets = base.make_targets(1, periods=months[:count])
        done, _ = base.export(tmp_path, targets, client, options, graphs=graphs)
    assert done.appended == 1 and client.asked == {("s1", 0, 6): 1, ("s2", 2, 11): 1}
    raw = cube_io.read_raw(tmp_path / targets[0].cube_id)
    assert np.ptp(raw.pixels["s1"]) > 0
