"""Exports against a stand-in for the client, and, killed again and again, against the fault server.

`EE_KILL_CUBES=1000 pytest -s -k killed test_ee_download.py` is the large run. As a script this
module is the process that is killed: python test_ee_download.py URL CUBES_DIR COUNT.
"""

import collections
import contextlib
import dataclasses
import datetime as dt
import errno
import os
import pathlib
import random
import shutil
import signal
import subprocess
import sys
import threading
import time

import fault_server
import numpy as np
import pytest
import rasterio
from odc.geo.geobox import GeoBox

from cropmap_jax.geo import cube_io, grid, periods
from cropmap_jax.geo.legend import EUCROPMAP, IGNORE
from cropmap_jax.sources import tile_labels, verify
from cropmap_jax.sources.earthengine import assembly, download, pieces, service, stopping
from cropmap_jax.sources.earthengine.client import Client
from cropmap_jax.sources.earthengine.errors import Busy, Fatal, TooLarge
from cropmap_jax.sources.earthengine.options import LabelOptions, Options, S2Options
from cropmap_jax.sources.manifest import Manifest
from cropmap_jax.sources.manifest_rows import DONE, FAILED, FLAGGED, PLANNED, WHOLE, CubeRow
from cropmap_jax.sources.targets import Target

CHECKOUT = pathlib.Path(__file__).resolve().parents[3]
SERVED = {"label_dtype": "int16", "label_values": (0, 100, 211, 500)}
SETTINGS = fault_server.Settings().changed(**SERVED)
PERIODS = periods.month_periods(dt.date(2018, 1, 1), dt.date(2018, 3, 1))
REQUESTS = 3
"""Of a cube: S1, S2 and label."""


def make_target(i: int = 0, size: int = 32, **more) -> Target:
    tile = grid.tile_geobox(32631, 400 + i % 100, 4000 + i // 100)
    geobox = GeoBox((size, size), tile.affine, "EPSG:32631")
    fields = {
        "cube_id": f"2017-2018_{i:05d}",
        "geobox": geobox,
        "periods": PERIODS,
        "season": "2017-2018",
        "block": grid.block_id(geobox),
        "split": "train",
        "province": "Belgium",
        "harvest": {},
        "legend": EUCROPMAP,
    }
    return Target(**{**fields, **more})


def make_targets(count: int, **more) -> list[Target]:
    return [make_target(i, **more) for i in range(count)]


def graphs(target, sensor, version="1"):
    names = pieces.bands_of(sensor, range(len(target.periods)), count=True)
    return {"sensor": sensor}, f"{sensor} {version}", names, {"about": sensor}


def answer(bands, where, settings=SETTINGS) -> np.ndarray:
    found = fault_server.expected(where, bands, settings)
    return np.stack([found[band].astype(np.int16) for band in bands], -1)


class FakeClient:
    """Answers at once what the fault server would; `fail(bands, where)` may raise."""

    def __init__(self, fail=None, change=lambda pixels: pixels):
        self.fail, self.change, self.lock = fail or (lambda *_: None), change, threading.Lock()
        self.asked, self.answered = collections.Counter(), set()

    def fetch(self, expression, bands, where):
        key = fault_server.key_of(where, bands)
        with self.lock:
            self.asked[key] += 1
        self.fail(bands, where)
        self.answered.add(key)
        return self.change(answer(bands, where))


class NoClient:
    """For runs that must ask for nothing."""

    def fetch(self, *_):
        raise RuntimeError("asked for what is there")


def no_graphs(*_):
    raise RuntimeError("made a graph of what is there")


def export(folder, targets, client, options=None, graphs=graphs, **more):
    """(summary, {cube: row}) of a run."""
    settings = {"in_flight": 4, "drain_s": 5.0, **more}
    with Manifest(folder) as book:
        options = options or Options()
        summary = download.run(targets, options, graphs, client, book, folder, **settings)
        return summary, rows_of(book)


def rows_of(book) -> dict:
    return {row.cube: row for row in book.cubes()}


def read_rows(folder) -> dict:
    with Manifest(folder) as book:
        return rows_of(book)


def left_over(folder) -> list[str]:
    """Everything in the folder that is neither a cube nor the manifest."""
    inside = [p for p in (folder / ".export" / "pieces").iterdir()]
    hidden = [p for p in folder.iterdir() if p.name.startswith(".") and p.name != ".export"]
    return sorted(p.name for p in inside + hidden)


PIXEL_BYTES = 2 * (len(PERIODS) * (2 + 10 + 1) + 1)
"""Of S1, S2, counts of clear observations, and the label."""


def check_pixels(folder, target, settings=SETTINGS, label=True):
    """That a cube holds what the server answers for its whole grid."""
    raw = cube_io.read_raw(folder / target.cube_id, verify=True)
    height, width = target.geobox.shape
    for sensor in ("s1", "s2", pieces.LABEL)[: 3 if label else 2]:
        count = 1 if sensor == pieces.LABEL else len(target.periods)
        whole = pieces.Piece("", sensor, 0, count - 1, 0, 0, height, width, "", sensor == "s2")
        served = answer(whole.bands, pieces.grid_of(whole, target.geobox), settings)
        if sensor == pieces.LABEL:
            codes = served[..., 0]
            expected = EUCROPMAP.encode(codes, missing=(0,))
            np.testing.assert_array_equal(raw.label, expected)
        else:
            served = np.moveaxis(served.reshape(height, width, count, -1), 2, 0)
            if sensor == "s2":
                np.testing.assert_array_equal(raw.clear, np.minimum(served[..., -1], 255))
                served = served[..., :-1]
            np.testing.assert_array_equal(getattr(raw, sensor), served)


def sensor_of(bands) -> str:
    return "label" if bands[0] == "label" else "s1" if bands[0].endswith("VV") else "s2"


# What comes out


def test_cubes_hold_what_was_answered_and_say_how_they_were_made(tmp_path):
    targets, client = make_targets(5), FakeClient()
    summary, rows = export(tmp_path, targets, client)
    assert (summary.whole, summary.flagged, summary.failed, summary.left) == (5, 0, {}, 0)
    assert summary.answered == 5 * REQUESTS and set(client.asked.values()) == {1}
    assert summary.bytes == 5 * 32 * 32 * PIXEL_BYTES
    for target in targets:
        check_pixels(tmp_path, target)
    assert {row.state for row in rows.values()} == {WHOLE} and left_over(tmp_path) == []
    row = rows[targets[0].cube_id]
    assert row.missing["s2"] == {p.name: 0.0 for p in PERIODS}
    assert row.missing["label"] == pytest.approx(0.25, abs=0.1)  # 0 is one of four codes
    info = cube_io.read_info(tmp_path / targets[0].cube_id)
    assert verify.differences(info, targets[0]) == []
    assert info.source["options"] == Options().to_json()
    assert info.source["graphs"] == {"s1": "s1 1", "s2": "s2 1", "label": "label 1"}
    assert info.source["facts"]["s1"] == {"about": "s1"}
    assert info.source["catalogue"]["s1"] == "COPERNICUS/S1_GRD"
    assert info.source["key"] == row.key == assembly.cube_key(targets[0], Options())


def test_missing_stays_missing_and_the_cube_is_flagged(tmp_path):
    def change(pixels):
        if pixels.shape[-1] == 2 * len(PERIODS):
            pixels[:8, :, :2] = service.OPTICAL.nodata
            pixels[..., 2:4] = service.OPTICAL.nodata
        return pixels

    summary, rows = export(tmp_path, [make_target()], FakeClient(change=change))
    assert (summary.whole, summary.flagged) == (0, 1)
    (row,) = rows.values()
    assert row.state == FLAGGED and row.reason == "Sentinel-1: nothing in 1 periods (2018-02-01)"
    assert list(row.missing["s1"].values()) == [0.25, 1.0, 0.0]
    s1 = cube_io.read_cube(tmp_path / row.cube).s1
    assert np.isnan(s1[0, :8]).all() and np.isnan(s1[1]).all() and np.isfinite(s1[2]).all()


def test_a_finished_export_asks_for_nothing(tmp_path):
    targets = make_targets(3)
    export(tmp_path, targets, FakeClient())
    summary, _ = export(tmp_path, targets, NoClient(), graphs=no_graphs)
    assert (summary.kept, summary.whole, summary.answered) == (3, 0, 0)


def test_more_cubes_are_added_to_those_that_are_there(tmp_path):
    export(tmp_path, make_targets(2), FakeClient())
    summary, rows = export(tmp_path, make_targets(4), client := FakeClient())
    assert (summary.kept, summary.whole, len(rows)) == (2, 2, 4)
    assert sum(client.asked.values()) == 2 * REQUESTS


def test_a_cube_that_was_deleted_is_made_again(tmp_path):
    targets = make_targets(2)
    export(tmp_path, targets, FakeClient())
    for file in (tmp_path / targets[0].cube_id).iterdir():
        file.unlink()
    (tmp_path / targets[0].cube_id).rmdir()
    summary, _ = export(tmp_path, targets, client := FakeClient())
    assert summary.whole == 1 and sum(client.asked.values()) == REQUESTS
    check_pixels(tmp_path, targets[0])


def test_pieces_of_any_size_make_the_same_cube(tmp_path):
    targets = make_targets(2)
    limits = pieces.Limits(bytes=4000, side=20)
    summary, _ = export(tmp_path, targets, FakeClient(), limits=limits)
    assert summary.answered > 2 * 20
    for target in targets:
        check_pixels(tmp_path, target)


def test_few_cubes_are_begun_at_a_time(tmp_path):
    begun, most = set(), []

    def counted(target, sensor):
        begun.add(target.cube_id)
        return graphs(target, sensor)

    def progress(iterable, **_):
        for made, row in enumerate(iterable):
            most.append(len(begun) - made)
            yield row

    export(tmp_path, make_targets(40, size=16), FakeClient(), graphs=counted, window=5,
           progress=progress)  # fmt: skip
    # What has been made but not been seen yet by the loop counts as begun: hence up to twice.
    assert len(most) == 40 and max(most) <= 10


def test_cubes_without_counts(tmp_path):
    options = Options(s2=S2Options(count=False))

    def uncounted(target, sensor):
        names = pieces.bands_of(sensor, range(len(target.periods)))
        return {"sensor": sensor}, sensor, names

    target, client = make_target(), FakeClient()
    summary, rows = export(tmp_path, [target], client, options, uncounted)
    assert summary.whole == 1 and summary.bytes == 32 * 32 * (PIXEL_BYTES - 2 * len(PERIODS))
    assert "clear" not in rows[target.cube_id].missing
    assert cube_io.read_raw(tmp_path / target.cube_id).clear is None
    with pytest.raises(
        ValueError, match=r"s2: .*'count': False.* there, .*'count': True.* requested"
    ):
        export(tmp_path, [target], NoClient())


def test_a_count_below_zero_is_no_count(tmp_path):
    def change(pixels):
        if pixels.shape[-1] == 11 * len(PERIODS):
            pixels[3, 4, 10] = service.OPTICAL.nodata
        return pixels

    summary, _ = export(tmp_path, [make_target()], FakeClient(change=change))
    (reason,) = summary.failed.values()
    assert "expected counts of clear observations of 0 or more, found -32768" in reason


# Options and keys


def no_s2(bands, _):
    if sensor_of(bands) == "s2":
        time.sleep(0.3)  # after the others have come
        raise Busy("no")


def test_other_options_are_refused_before_anything_is_asked(tmp_path):
    export(tmp_path, make_targets(2), FakeClient())
    other = Options(s2=S2Options(threshold=0.5))
    with pytest.raises(ValueError, match=r"s2: .*0\.6.* there, .*0\.5.* requested \(and 1 more\)"):
        export(tmp_path, make_targets(3), NoClient(), other, no_graphs)
    assert len(read_rows(tmp_path)) == 2


@pytest.mark.parametrize("field, value", [("split", "test"), ("periods", PERIODS[:2])])
def test_another_target_of_the_same_id_is_refused(tmp_path, field, value):
    export(tmp_path, [make_target()], FakeClient())
    with pytest.raises(ValueError, match=f"{field}: .* there, .* requested; export into another"):
        export(tmp_path, [make_target(**{field: value})], NoClient())


def test_a_cube_of_another_source_is_not_touched(tmp_path):
    target = make_target()
    export(tmp_path, [target], FakeClient())
    made = cube_io.read_cube(tmp_path / target.cube_id)
    foreign = dataclasses.replace(made.info, source={"made_by": "ingest"})
    cube_io.write_cube(dataclasses.replace(made, info=foreign), tmp_path, overwrite=True)
    (tmp_path / ".export" / "manifest.sqlite").unlink()
    with pytest.raises(ValueError, match="a cube that was not exported from Earth Engine"):
        export(tmp_path, [target], NoClient())


@pytest.mark.parametrize("what", ["folder", "file", "item", "link"])
def test_what_is_no_cube_is_not_touched(tmp_path, what):
    place = tmp_path / make_target().cube_id
    if what == "file":
        place.write_text("mine")
    elif what == "link":
        place.symlink_to(tmp_path / "nowhere")
    else:
        place.mkdir()
        (place / ("item.json" if what == "item" else "thesis.txt")).write_text("mine")
    with pytest.raises(ValueError, match=f"export into another folder, or move {place} away"):
        export(tmp_path, make_targets(2), NoClient())
    assert os.path.lexists(place) and [p.read_text() for p in place.glob("*")] in ([], ["mine"])
    assert sorted(p.name for p in tmp_path.iterdir()) == [".export", place.name]


def test_pixels_of_an_older_graph_are_never_used(tmp_path):
    targets, older = make_targets(3), FakeClient(no_s2, lambda pixels: pixels * 0 + 211)
    summary, _ = export(tmp_path, targets, older, in_flight=16)
    assert len(summary.failed) == 3 and len(left_over(tmp_path)) == 6
    newer = lambda target, sensor: graphs(target, sensor, "2")  # noqa: E731
    summary, _ = export(tmp_path, targets, client := FakeClient(), graphs=newer)
    assert sum(client.asked.values()) == 3 * REQUESTS and summary.reused == 0
    for target in targets:
        check_pixels(tmp_path, target)
    assert left_over(tmp_path) == []


def test_two_targets_of_one_id_are_refused(tmp_path):
    with pytest.raises(ValueError, match="found '2017-2018_00000' twice"):
        export(tmp_path, [make_target(), make_target()], NoClient())


# What fails


def too_much(limit, sensors=("s2",)):
    def fail(bands, where):
        size = where["dimensions"]
        if sensor_of(bands) in sensors and size["width"] * size["height"] * len(bands) > limit:
            raise TooLarge("User memory limit exceeded.")

    return fail


def test_what_is_too_much_is_split_and_not_repeated(tmp_path):
    target, client = make_target(), FakeClient(too_much(32 * 32 * 11))
    summary, _ = export(tmp_path, [target], client)
    # 3 periods -> 1 and 2; 2 -> 1 and 1.
    assert (summary.whole, summary.split) == (1, 2) and set(client.asked.values()) == {1}
    assert sum(client.asked.values()) == 2 + 5
    check_pixels(tmp_path, target)


def test_what_was_too_much_is_not_asked_for_in_the_next_run(tmp_path):
    split = too_much(32 * 32 * 11)

    def fail(bands, where):
        split(bands, where)
        if "p02_B2" in bands:
            raise Busy("no")

    summary, _ = export(tmp_path, [make_target()], first := FakeClient(fail))
    assert len(summary.failed) == 1
    summary, _ = export(tmp_path, [make_target()], second := FakeClient(split))
    assert summary.whole == 1
    assert second.asked and not first.answered & set(second.asked)
    assert not {key for key in second.asked if "33:p00_B2:" in key}
    check_pixels(tmp_path, make_target())


def test_requests_like_those_that_keep_failing_are_split_before_they_are_sent(tmp_path):
    targets, client = make_targets(30, size=16), FakeClient(too_much(16 * 16 * 32))
    summary, _ = export(tmp_path, targets, client, in_flight=2, window=2)
    assert summary.whole == 30
    refused = sum(f"33:p00_B2:" in key for key in client.asked)  # noqa: F541
    assert 5 <= refused < 10
    summary, _ = export(tmp_path, make_targets(31, size=16), client := FakeClient())
    assert sum(client.asked.values()) == 4  # it is remembered


def test_what_cannot_be_split_further_fails_its_cube_and_no_other(tmp_path):
    targets = make_targets(4)
    bad = pieces.grid_of(pieces.Piece("", "s2", 0, 0, 0, 0, 1, 1, ""), targets[1].geobox)
    corner = [bad["affineTransform"][name] for name in ("translateX", "translateY")]

    def fail(bands, where):
        at = [where["affineTransform"][name] for name in ("translateX", "translateY")]
        if sensor_of(bands) == "s2" and "p00_B2" in bands and at == corner:
            raise TooLarge("User memory limit exceeded.")

    summary, rows = export(tmp_path, targets, first := FakeClient(fail))
    assert summary.whole == 3
    reason = "s2, 1x16x16 pixels, period 0: User memory limit exceeded.; it cannot be split further"
    assert summary.failed == {targets[1].cube_id: reason}
    assert rows[targets[1].cube_id].state == FAILED
    assert rows[targets[1].cube_id].reason == reason
    assert not (tmp_path / targets[1].cube_id).exists()
    # The next run asks for what is missing and nothing else.
    summary, rows = export(tmp_path, targets, second := FakeClient())
    assert (summary.whole, summary.kept) == (1, 3) and rows[targets[1].cube_id].state == WHOLE
    assert second.asked and not first.answered & set(second.asked)
    assert summary.reused == len(first.answered) - 3 * REQUESTS
    check_pixels(tmp_path, targets[1])


@pytest.mark.parametrize("error", [Busy("given up after 6 attempts"), ValueError("odd answer")])
def test_a_cube_that_fails_is_reported_and_the_rest_goes_on(tmp_path, error):
    targets = make_targets(6)
    place = targets[2].geobox.affine.c

    def fail(bands, where):
        if where["affineTransform"]["translateX"] == place and sensor_of(bands) == "s1":
            raise error

    summary, rows = export(tmp_path, targets, FakeClient(fail))
    assert summary.whole == 5 and list(summary.failed) == [targets[2].cube_id]
    assert str(error) in rows[targets[2].cube_id].reason


def test_of_a_cube_that_has_failed_nothing_more_is_asked_for(tmp_path):
    def fail(*_):
        raise Busy("no")

    client, limits = FakeClient(fail), pieces.Limits(bytes=4000)
    summary, _ = export(tmp_path, make_targets(2), client, in_flight=1, window=1, limits=limits)
    assert len(summary.failed) == 2 and sum(client.asked.values()) == 2


def test_a_graph_that_cannot_be_made_fails_its_cube(tmp_path):
    def some(target, sensor):
        if target.cube_id.endswith("1") and sensor == "s2":
            raise Busy("the orbits could not be asked for")
        if target.cube_id.endswith("2"):
            return {}, "x", ("p00_B1",)
        return graphs(target, sensor)

    summary, _ = export(tmp_path, make_targets(3), client := FakeClient(), graphs=some)
    assert summary.whole == 1 and sum(client.asked.values()) == REQUESTS
    first, second = (summary.failed[make_target(i).cube_id] for i in (1, 2))
    assert first == "the orbits could not be asked for"
    assert "expected a graph of s1 with bands p00_VV .. p02_VH (6), found p00_B1" in second


@pytest.mark.parametrize(
    "change, said",
    [
        (lambda p: p[:-1], "expected int16 [32, 32, "),
        (lambda p: p.astype(np.int32), "found int32 [32, 32, "),
        (lambda p: p * 0 + 999, "found code 999, which legend 'eucropmap' does not hold"),
    ],
)
def test_wrong_pixels_make_no_cube(tmp_path, change, said):
    summary, _ = export(tmp_path, [make_target()], FakeClient(change=change))
    assert said in summary.failed[make_target().cube_id]
    assert cube_ids(tmp_path) == []


def cube_ids(folder) -> list[str]:
    return sorted(p.name for p in folder.iterdir() if not p.name.startswith("."))


def test_a_service_that_answers_nothing_is_not_asked_for_ever(tmp_path):
    def fail(*_):
        raise Busy("unreachable")

    client = FakeClient(fail)
    with pytest.raises(Fatal, match="25 cubes in a row failed, the last, .*unreachable"):
        export(tmp_path, make_targets(200, size=16), client, in_flight=2)
    assert sum(client.asked.values()) < 40 * REQUESTS


def test_a_fatal_error_stops_everything_and_keeps_what_is_done(tmp_path):
    count, pause = iter(range(1000)), stopping.Pause()

    def fail(bands, where):
        number = next(count)
        if number == 20:
            raise Fatal("the credentials were refused")
        if number > 20:
            pause(600)  # as the client waits before it repeats

    targets, began = make_targets(40, size=16), time.monotonic()
    client = FakeClient(fail)
    with pytest.raises(Fatal, match="credentials were refused"):
        export(tmp_path, targets, client, pause=pause)
    assert time.monotonic() - began < 5
    assert sum(client.asked.values()) <= 20 + 1 + 3  # with three others in flight
    states = collections.Counter(row.state for row in read_rows(tmp_path).values())
    assert FAILED not in states and states[PLANNED] > 30
    summary, rows = export(tmp_path, targets, second := FakeClient())
    assert {row.state for row in rows.values()} == {WHOLE}
    assert sum(second.asked.values()) == 40 * REQUESTS - 20


def test_a_bug_stops_everything_too(tmp_path):
    def fail(*_):
        raise TypeError("a bug")

    with pytest.raises(TypeError, match="a bug"):
        export(tmp_path, make_targets(3), FakeClient(fail))


def test_requests_that_never_end_hold_up_nothing(tmp_path):
    never = threading.Event()

    def fail(bands, where):
        if sensor_of(bands) == "s1":
            raise Fatal("stop")
        never.wait(60)

    began = time.monotonic()
    with pytest.raises(Fatal):
        export(tmp_path, [make_target()], FakeClient(fail), drain_s=0.2)
    assert time.monotonic() - began < 5
    threads = [t for t in threading.enumerate() if not t.daemon]
    never.set()
    assert len(threads) == 1  # what still waits does not keep the process alive
    time.sleep(0.1)
    assert left_over(tmp_path) == []  # and what comes too late is not kept


def test_an_interrupt_keeps_what_is_out(tmp_path):
    def slow(*_):
        time.sleep(0.05)

    def progress(iterable, **_):
        for made, row in enumerate(iterable):
            if made == 3:
                raise KeyboardInterrupt
            yield row

    targets, first = make_targets(20, size=16), FakeClient(slow)
    with pytest.raises(KeyboardInterrupt):
        export(tmp_path, targets, first, progress=progress)
    summary, _ = export(tmp_path, targets, second := FakeClient())
    assert summary.whole + summary.kept == 20
    assert not set(first.asked) & set(second.asked)
    for target in targets:
        check_pixels(tmp_path, target)


def test_a_full_disk_is_one_error_and_leaves_nothing_half_written(tmp_path, monkeypatch):
    fsync, calls = os.fsync, []

    def full(number):
        calls.append(number)
        if 30 <= len(calls) <= 1000:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        fsync(number)

    monkeypatch.setattr(os, "fsync", full)
    targets = make_targets(20, size=16)
    with pytest.raises(OSError, match="No space left on device") as raised:
        export(tmp_path, targets, FakeClient())
    assert raised.value.errno == errno.ENOSPC
    monkeypatch.setattr(os, "fsync", fsync)
    assert [name for name in left_over(tmp_path) if not name.endswith(".npy")] == []
    for name in cube_ids(tmp_path):
        cube_io.read_raw(tmp_path / name, verify=True)
    summary, _ = export(tmp_path, targets, FakeClient())
    assert summary.whole + summary.kept == 20 and left_over(tmp_path) == []


def test_no_more_is_asked_for_than_max_gb(tmp_path):
    targets = make_targets(10)
    one = 32 * 32 * PIXEL_BYTES
    summary, _ = export(tmp_path, targets, FakeClient(), max_gb=4.5 * one / 1e9)
    assert 4 * one <= summary.bytes <= 4.5 * one
    assert summary.whole + summary.left == 10 and 0 < summary.whole <= 4
    assert "stopped by max_gb with" in summary.text() and "larger max_gb" in summary.text()
    again, _ = export(tmp_path, targets, FakeClient())
    assert again.bytes + summary.bytes == 10 * one and again.whole + again.kept == 10


def test_a_max_gb_below_one_request_asks_for_none(tmp_path):
    summary, _ = export(tmp_path, make_targets(3), NoClient(), max_gb=1e-6)
    assert (summary.left, summary.answered) == (3, 0)


# Labels


def write_band(path, geobox, pixels):
    profile = {"driver": "GTiff", "count": 1, "dtype": pixels.dtype, "transform": geobox.affine}
    height, width = pixels.shape
    with rasterio.open(path, "w", **profile, crs=str(geobox.crs), height=height, width=width) as r:
        r.write(pixels, 1)
    return path


@pytest.fixture
def tile(tmp_path):
    """A target with labels and field ids in files."""
    target = make_target()
    label = np.arange(32 * 32).reshape(32, 32).astype(np.uint8) % 21
    label[:4] = IGNORE
    files = {
        "label_file": write_band(tmp_path / "label.tif", target.geobox, label),
        "fields_file": write_band(tmp_path / "fields.tif", target.geobox, label + np.uint32(7)),
    }
    return dataclasses.replace(target, **files), label


TILES = Options(label=LabelOptions("tiles"))


def test_labels_and_fields_of_a_prepared_tile_are_copied(tmp_path, tile):
    target, label = tile
    summary, _ = export(tmp_path / "cubes", [target], client := FakeClient(), TILES)
    assert summary.whole == 1 and sum(client.asked.values()) == 2
    made = cube_io.read_cube(tmp_path / "cubes" / target.cube_id)
    np.testing.assert_array_equal(made.label, label)
    np.testing.assert_array_equal(made.fields, label + np.uint32(7))
    check_pixels(tmp_path / "cubes", target, label=False)
    # Labels drawn anew are another cube.
    write_band(target.label_file, target.geobox, np.zeros((32, 32), np.uint8))
    with pytest.raises(ValueError, match="other labels or field ids"):
        export(tmp_path / "cubes", [target], NoClient(), TILES)


@pytest.mark.parametrize(
    "size, east, crs, dtype, value, said",
    [
        (31, 0, 32631, np.uint8, 0, r"expected rows x columns \(32, 32\), found \(31, 31\)"),
        (32, 5, 32631, np.uint8, 0, "expected transform"),
        (32, 0, 32632, np.uint8, 0, "expected CRS EPSG:32631, found EPSG:32632"),
        (32, 0, 32631, np.int16, 0, "expected type uint8, found int16"),
        (32, 0, 32631, np.uint8, 77, "found label 77"),
    ],
)
def test_labels_on_another_grid_fail_their_cube(
    tmp_path, tile, size, east, crs, dtype, value, said
):
    target, _ = tile
    a = target.geobox.affine
    affine = type(a)(a.a, a.b, a.c + east, a.d, a.e, a.f)
    other = GeoBox((size, size), affine, f"EPSG:{crs}")
    write_band(target.label_file, other, np.full((size, size), value, dtype))
    with pytest.raises(ValueError, match=rf"label\.tif: {said}"):
        tile_labels.read_labels(target)
    summary, _ = export(tmp_path / "cubes", [target, make_target(1, **files(target))],
                        FakeClient(), TILES)  # fmt: skip
    assert "label.tif" in summary.failed[target.cube_id]


def files(target):
    return {"label_file": target.label_file, "fields_file": None}


VRT = """<VRTDataset rasterXSize="32" rasterYSize="32"><VRTRasterBand dataType="Byte" band="1">
<SimpleSource><SourceFilename>{}</SourceFilename></SimpleSource></VRTRasterBand></VRTDataset>"""


@pytest.mark.parametrize("kind", ["vrt", "png", "text"])
def test_labels_that_are_no_geotiff_fail_their_cube(tmp_path, tile, kind):
    target, label = tile
    if kind == "png":
        profile = {"driver": "PNG", "count": 1, "dtype": "uint8", "width": 32, "height": 32}
        profile |= {"transform": target.geobox.affine, "crs": "EPSG:32631"}
        with rasterio.open(target.label_file, "w", **profile) as raster:
            raster.write(label, 1)
    elif kind == "vrt":
        shutil.copy(target.label_file, tmp_path / "other.tif")
        target.label_file.write_text(VRT.format(tmp_path / "other.tif"))
    else:
        target.label_file.write_text("no raster")
    summary, _ = export(tmp_path / "cubes", [target], FakeClient(), TILES)
    assert "label.tif: damaged or not a GeoTIFF" in summary.failed[target.cube_id]
    assert not (tmp_path / "cubes" / target.cube_id).exists()


def test_missing_files_of_labels_are_found_before_anything_is_asked(tmp_path, tile):
    target, _ = tile
    target.fields_file.unlink()
    with pytest.raises(ValueError, match=r"expected .*fields\.tif, found no file"):
        export(tmp_path / "cubes", [target], NoClient(), TILES)
    with pytest.raises(ValueError, match="expected a file of labels, found none"):
        export(tmp_path / "cubes", [make_target()], NoClient(), TILES)


def test_cubes_without_labels_are_not_flagged_for_it(tmp_path):
    options = Options(label=LabelOptions("none"))
    summary, _ = export(tmp_path, [make_target()], client := FakeClient(), options)
    assert summary.whole == 1 and sum(client.asked.values()) == 2
    assert (cube_io.read_raw(tmp_path / make_target().cube_id).label == IGNORE).all()


# What a killed process leaves


def test_a_cube_that_the_manifest_does_not_know_is_found_again(tmp_path):
    targets = make_targets(3)
    _, before = export(tmp_path, targets, FakeClient())
    with Manifest(tmp_path) as book:  # killed between writing the cube and writing that down
        book.mark(CubeRow(targets[0].cube_id, before[targets[0].cube_id].key, PLANNED, {}))
    summary, rows = export(tmp_path, targets, NoClient(), graphs=no_graphs)
    assert (summary.whole, summary.kept) == (1, 2)
    for path in (tmp_path / ".export").glob("manifest.sqlite*"):
        path.unlink()
    summary, after = export(tmp_path, targets, NoClient(), graphs=no_graphs)
    assert summary.whole == 3
    assert [dataclasses.replace(r, at="") for r in after.values()] == [
        dataclasses.replace(r, at="") for r in before.values()
    ]


def test_a_damaged_cube_is_not_taken_for_whole(tmp_path):
    target = make_target()
    export(tmp_path, [target], FakeClient())
    for path in (tmp_path / ".export").glob("manifest.sqlite*"):
        path.unlink()
    with open(tmp_path / target.cube_id / "s1.tif", "ab") as file:
        file.write(b"x")
    summary, rows = export(tmp_path, [target], NoClient())
    assert "damaged" in summary.failed[target.cube_id]
    assert "to export it again" in rows[target.cube_id].reason


def make_unfinished(tmp_path):
    """An export that has S1 and label of a cube, but not S2: their files."""
    export(tmp_path, [make_target()], FakeClient(no_s2))
    return sorted((tmp_path / ".export" / "pieces").iterdir())


def test_a_file_that_was_not_written_down_is_used(tmp_path):
    kept = make_unfinished(tmp_path)
    with Manifest(tmp_path) as book:
        book._db.execute("DELETE FROM pieces")
    summary, _ = export(tmp_path, [make_target()], client := FakeClient())
    assert len(kept) == 2 and summary.reused == 2 and sum(client.asked.values()) == 1
    check_pixels(tmp_path, make_target())


@pytest.mark.parametrize("known", [True, False])
def test_a_damaged_file_is_asked_for_again(tmp_path, known):
    first, second = make_unfinished(tmp_path)
    first.write_bytes(first.read_bytes()[:-2])
    if known:
        second.write_bytes(second.read_bytes()[:-1] + b"\1")
    else:
        with Manifest(tmp_path) as book:
            book._db.execute("DELETE FROM pieces")
    _, _ = export(tmp_path, [make_target()], client := FakeClient())
    assert sum(client.asked.values()) == (3 if known else 2)
    check_pixels(tmp_path, make_target())


# Killed

KILL_CUBES = int(os.environ.get("EE_KILL_CUBES", "60"))
KILLS = 5
IN_FLIGHT = 16
KILL_LIMITS = pieces.Limits(bytes=16 * 16 * 2 * 11)


def kill_targets(count: int) -> list[Target]:
    return make_targets(count, size=16)


def export_in_process(url: str, folder: str, count: str) -> None:
    """What the process does that is killed; it tells of its memory at the end."""
    faults = Client(url, "test", per_second=None, max_in_flight=IN_FLIGHT)
    options, targets = Options(), kill_targets(int(count))
    memory = []

    def progress(iterable, **_):
        for i, row in enumerate(iterable):
            if i % 50 == 0:
                pages = int(pathlib.Path("/proc/self/statm").read_text().split()[1])
                memory.append(pages * os.sysconf("SC_PAGE_SIZE") // 2**20)
            yield row

    with Manifest(folder) as book:
        summary = download.run(
            targets, options, graphs, faults, book, folder, progress,
            in_flight=IN_FLIGHT, limits=KILL_LIMITS,
        )  # fmt: skip
    print(summary.text(), f"resident MiB every 50 cubes: {memory}", sep="\n", flush=True)


ASKED = ("s1", "s2", "label")


def finished_keys(folder, targets) -> set[str]:
    """Keys, as the server has them, of all requests whose answers are safe on disk."""
    found = set()
    for target in targets:
        whole = (folder / target.cube_id / cube_io.ITEM).exists()
        digests = {sensor: f"{sensor} 1" for sensor in ASKED}
        for piece in pieces.pieces_of(target, digests, KILL_LIMITS, count=True):
            if whole or (folder / ".export" / "pieces" / f"{piece.key}.npy").exists():
                where = pieces.grid_of(piece, target.geobox)
                found.add(fault_server.key_of(where, piece.bands))
    return found


def start(url, folder, count):
    command = [sys.executable, __file__, url, str(folder), str(count)]
    return subprocess.Popen(command, env={**os.environ, "PYTHONPATH": str(CHECKOUT)},
                            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)  # fmt: skip


def wait_for_requests(server, process, number):
    until = time.monotonic() + 120
    while server.counts()["requests"] < number:
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < until
        time.sleep(0.01)


@pytest.mark.parametrize("stop", [signal.SIGKILL, signal.SIGINT])
def test_killed_at_any_moment_nothing_finished_is_asked_for_again(tmp_path, fault_process, stop):
    kills = KILLS if stop == signal.SIGKILL else 1
    count = KILL_CUBES if stop == signal.SIGKILL else min(KILL_CUBES, 40)
    # What is left must take longer than to send the signal.
    fault_process.set(**SERVED, latency_s=0.02 if stop == signal.SIGKILL else 0.1)
    targets, folder = kill_targets(count), tmp_path / "cubes"
    digests = dict.fromkeys(ASKED, "")
    total = count * len(pieces.pieces_of(targets[0], digests, KILL_LIMITS, count=True))
    draw, snapshots, lost = random.Random(0), [], 0
    for i in range(kills):
        process = start(fault_process.url, folder, count)
        wait_for_requests(fault_process, process, total * (i + 1) // (kills + 2))
        time.sleep(draw.uniform(0, 0.1))
        process.send_signal(stop)
        out, err = process.communicate(timeout=30)
        assert process.returncode == -stop, (out, err)
        time.sleep(0.2)  # until the server has done with what it was answering
        finished = finished_keys(folder, targets)
        asked = fault_process.counts()["by_key"]
        before = snapshots[-1][1] if snapshots else {}
        in_flight = {key for key in asked if asked[key] > before.get(key, 0)} - finished
        assert len(in_flight) <= IN_FLIGHT
        lost += len(in_flight)
        snapshots.append((finished, asked))
    process = start(fault_process.url, folder, count)
    out, err = process.communicate(timeout=600)
    assert process.returncode == 0, err
    counts = fault_process.counts()["by_key"]
    for finished, asked in snapshots:
        assert finished and all(counts[key] == asked[key] for key in finished)
    assert len(counts) == total and sum(counts.values()) == total + lost
    if stop == signal.SIGINT:
        assert lost == 0  # it drains
    for target in targets:
        check_pixels(folder, target)
    rows = read_rows(folder)
    assert len(rows) == count and {row.state for row in rows.values()} == {WHOLE}
    assert left_over(folder) == []
    with Manifest(folder) as book:
        assert sum(shape[DONE] for shape in book.shape_counts().values()) == total
    print(f"\n{count} cubes, {kills} x {stop.name}: {total} requests, {lost} asked twice\n{out}")


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        export_in_process(*sys.argv[1:])
        sys.exit(0)
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    os.kill(os.getpid(), signal.SIGINT)
