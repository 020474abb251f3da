"""A map's folder: one process at a time, nothing of others touched, no map of damaged cubes."""

import errno
import functools
import json
import os
import pathlib
import shutil

import making
import numpy as np
import pytest
from mapping import small_maps

from cropmap_jax.geo import cube_io, files
from cropmap_jax.geo.legend import Legend, make_class
from cropmap_jax.mapping import crop_map, metadata, mosaics, picture
from cropmap_jax.training import checkpoints


def even(examples):
    return [np.full((*e["wanted"].shape, 3), 0.6, np.float32) for e in examples]


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return small_maps.save_checkpoint(tmp_path_factory.mktemp("run"))


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    """Neither are pictures drawn nor is the checkpoint read again and again."""
    monkeypatch.setattr(picture, "draw", lambda path, *_: files.write_bytes(path, b"drawn"))
    monkeypatch.setattr(checkpoints, "load", load)


load = functools.cache(checkpoints.load)


@pytest.fixture(scope="module")
def two_cubes(tmp_path_factory):
    whole = making.make_cube("whole", (16, 32), fields=False)
    return small_maps.write(tmp_path_factory.mktemp("cubes"), *small_maps.quarters(whole, 16))


@pytest.fixture
def cubes(two_cubes, tmp_path):
    return shutil.copytree(two_cubes, tmp_path / "cubes")


@pytest.fixture
def make(run, cubes, tmp_path):
    """Maps the cubes into a folder next to them."""

    def make(**options):
        return small_maps.make_map(run, cubes, tmp_path / "map", even, **options)

    return make


def everything(folder) -> dict[str, bytes]:
    paths = (p for p in pathlib.Path(folder).rglob("*") if p.is_file())
    return {str(p.relative_to(folder)): p.read_bytes() for p in paths}


@pytest.mark.parametrize(
    "name", ["summary.csv", "summary.txt", "crop.qml", "crop_32639.png", "confidence_32639.vrt"]
)
def test_files_of_others_are_refused_whatever_the_flags(make, tmp_path, name):
    (tmp_path / "map").mkdir()
    (tmp_path / "map" / name).write_text("precious")
    for overwrite in (False, True):
        with pytest.raises(ValueError, match=f"--out .*map: found {name}, which predict") as raised:
            make(overwrite=overwrite)
        assert "--overwrite" not in str(raised.value)
    assert everything(tmp_path / "map") == {name: b"precious"}


def test_files_of_others_with_other_names_stay(make, tmp_path):
    out = tmp_path / "map"
    others = {
        "crop_rotation.png": b"1", "crop_32640.vrt": b"2", "confidence_x.vrt": b"3",
        ".notes.2021.old": b"4", "fields/map.json": b"{}", "crop_new.qml": b"5",
    }  # fmt: skip
    for name, data in others.items():
        (out / name).parent.mkdir(parents=True, exist_ok=True)
        (out / name).write_bytes(data)
    make()
    make(threshold=0.7, overwrite=True)
    found = everything(out)
    assert {name: found[name] for name in others} == others and "summary.csv" in found


def test_a_file_in_the_place_of_a_cube_is_refused(make, tmp_path):
    (tmp_path / "map").mkdir()
    (tmp_path / "map" / "c01").write_text("precious")
    with pytest.raises(ValueError, match="c01: expected a cube's map or no folder, found a file"):
        make(overwrite=True)
    assert everything(tmp_path / "map") == {"c01": b"precious"}


def test_what_predict_wrote_earlier_goes_with_the_cubes(make, cubes, tmp_path):
    make()
    far = small_maps.moved(making.make_cube("far", 16), epsg=32640)
    small_maps.write(cubes, far)
    make()
    assert (tmp_path / "map" / "crop_32640.vrt").is_file()
    for folder in (cubes / "far", tmp_path / "map" / "far"):
        for path in folder.iterdir():
            path.unlink()
        folder.rmdir()
    make()
    assert not (tmp_path / "map" / "crop_32640.vrt").exists()


def test_a_map_with_something_else_in_its_folder_is_not_replaced(make, tmp_path):
    make()
    folder = tmp_path / "map" / "c00"
    (folder / "crop.tif.aux.xml").write_text("what QGIS counted")
    (folder / "notes.txt").write_text("precious")
    make()  # nothing to replace
    with pytest.raises(ValueError, match=r"c00.notes\.txt: found in the folder of a map .* not wr"):
        make(threshold=0.7, overwrite=True)
    assert (folder / "notes.txt").read_text() == "precious"
    (folder / "notes.txt").unlink()
    make(threshold=0.7, overwrite=True)
    assert sorted(p.name for p in folder.iterdir()) == ["confidence.tif", "crop.tif", "map.json"]


@pytest.mark.parametrize(
    ("text", "change"),
    [
        *((text, {}) for text in ("{", "[]", '{"settings": {}}', "[" * 100_000, "\xff", "3")),
        (None, {"cube": "another"}),
        (None, {"area": {"wheat": 3}}),
        (None, {"lead_days": {"wheat": "soon"}}),
        (None, {"window": ["2022-04-01"]}),
        (None, {"seen": {"s1": [1], "s2": [1], "missing_bands": {"s1": [], "s2": []}}}),
    ],
)
def test_a_folder_whose_metadata_is_not_ours_is_refused(make, tmp_path, text, change):
    make()
    file = tmp_path / "map" / "c00" / "map.json"
    if text is None:
        text = json.dumps(json.loads(file.read_text()) | change)
    file.write_text(text, encoding="latin-1")
    with pytest.raises(
        ValueError, match=r"c00.map\.json: expected the metadata of the map"
    ) as raised:
        make(overwrite=True)
    assert "--overwrite" not in str(raised.value) and len(str(raised.value)) < 800


def test_styles_that_somebody_changed_stay_until_the_map_is_another(make, tmp_path):
    style = tmp_path / "map" / "crop_32639.qml"
    make()
    ours = style.read_bytes()
    style.write_text("mine")
    make()
    assert style.read_text() == "mine"
    make(threshold=0.7, overwrite=True)
    assert style.read_bytes() == ours


@pytest.mark.parametrize("flag", ["cubes", "workdir"])
@pytest.mark.parametrize("place", [".", "map", ".."])
def test_what_is_read_and_what_is_written_lie_apart(tmp_path, flag, place):
    folders = {"cubes": str(tmp_path / "c" / "d"), "workdir": str(tmp_path / "r" / "s")}
    out = str(pathlib.Path(folders[flag]) / place)
    with pytest.raises(ValueError, match=f"--out .* --{flag} .*"):
        crop_map.Options(as_of="2022-06-01", out=out, **folders)


@pytest.mark.parametrize(
    ("changes", "flag"),
    [
        ({"threshold": float("nan")}, "--threshold: expected a probability .*, found nan"),
        ({"threshold": float("inf")}, "--threshold"),
        ({"threshold": -0.1}, "--threshold"),
        ({"batch_size": 0}, "--batch_size: expected 1 to 1024 chips, found 0"),
        ({"batch_size": 10**9}, "--batch_size"),
        ({"cubes": "gs://bucket/cubes"}, "--cubes 'gs://bucket/cubes': expected a path"),
        ({"out": "/vsizip/map"}, "--out"),
        ({"out": ""}, "--out: expected a folder, found an empty name"),
        ({"workdir": "https://host/run"}, "--workdir"),
    ],
)
def test_values_that_cannot_be_are_refused_at_once(changes, flag):
    options = {"workdir": "w", "cubes": "c", "as_of": "2022-06-01", "out": "o"} | changes
    with pytest.raises(ValueError, match=flag):
        crop_map.Options(**options)


def test_a_cube_called_like_a_file_of_the_map_is_refused(run, cubes, tmp_path):
    for name in ("Summary.csv", "crop_32639.vrt"):
        small_maps.write(tmp_path / name, small_maps.changed(making.make_cube(name, 16)))
        with pytest.raises(ValueError, match=f"cube {name}: its id is the name of a file of the m"):
            small_maps.make_map(run, tmp_path / name, tmp_path / "map", even)


def test_a_class_called_like_a_value_of_the_map_is_refused():
    for name in ("no_data", "none_of_these"):
        classes = Legend("odd", (make_class(0, 0, name),))
        with pytest.raises(ValueError, match=f"class '{name}' has the name of pixel value 25"):
            metadata.check_names(classes)


def test_one_process_writes_a_map_at_a_time(make, tmp_path):
    with (
        files.Lock(tmp_path / "map", "--out"),
        pytest.raises(ValueError, match=rf"--out .*map: in use by .*process {os.getpid()} on"),
    ):
        make()
    assert everything(tmp_path / "map") == {}
    make()
    assert files.Lock.NAME not in everything(tmp_path / "map")


def damage(file: pathlib.Path) -> None:
    """Turns a byte of the pixels round and leaves size and time of modification as they are."""
    before = file.stat()
    data = bytearray(file.read_bytes())
    data[-1] ^= 255
    file.write_bytes(data)
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))


@pytest.mark.parametrize("sensor", ["s1", "s2", "label"])
def test_damaged_pixels_make_no_map(make, cubes, tmp_path, sensor):
    file = cubes / "c01" / f"{sensor}.tif"
    whole = file.read_bytes()
    make()
    map_before = everything(tmp_path / "map")
    damage(file)
    for overwrite in (False, True):  # the map that is there is not called finished
        with pytest.raises(ValueError, match=rf"c01.{sensor}\.tif: damaged: expected checksum"):
            make(overwrite=overwrite)
    assert everything(tmp_path / "map") == map_before
    file.write_bytes(whole)
    assert make()[0].finished == {"c00", "c01"}


def test_a_new_map_of_damaged_pixels_is_not_begun(make, cubes, tmp_path):
    damage(cubes / "c00" / "s2.tif")
    with pytest.raises(ValueError, match=r"c00.s2\.tif: damaged"):
        make()
    assert not (tmp_path / "map").exists()


def test_whole_cubes_are_read_once(make, cubes, tmp_path, monkeypatch):
    read = []
    verify = cube_io.verify_checksums

    def spy(info):
        read.append(info.cube_id)
        verify(info)

    monkeypatch.setattr(cube_io, "verify_checksums", spy)
    make()
    make()
    assert sorted(read) == ["c00", "c01"]  # side by side
    os.utime(cubes / "c01" / "s1.tif")
    make()
    assert read[2:] == ["c01"]
    # What was saved may be lost or broken: all is verified again.
    (tmp_path / "map" / ".predict.verified.json").write_text("[")
    make()
    assert read[3:] == ["c00", "c01"]


@pytest.mark.parametrize(
    "full", ["c01", "crop_32639.vrt", "crop.qml", "crop_32639.png", "summary.csv"]
)
def test_a_full_disk_names_the_file_and_the_same_command_resumes(make, tmp_path, monkeypatch, full):
    rename = pathlib.Path.rename

    def no_space(self, target):
        if pathlib.Path(target).name == full:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return rename(self, target)

    with monkeypatch.context() as patch:
        patch.setattr(pathlib.Path, "rename", no_space)
        with pytest.raises(OSError, match=f"map.{full}: could not be written .No space left on"):
            make()
    out = tmp_path / "map"
    assert not (out / full).exists() and not (out / "summary.csv").exists()
    assert not list(out.glob("*.part")) and not list(out.glob(".*.part"))
    maker, _, done = make()
    assert done == (1 if full == "c01" else 0) and (out / full).exists()
    assert (out / "summary.csv").is_file()


def test_a_damaged_map_is_named(make, tmp_path, monkeypatch):
    make()
    monkeypatch.undo()
    file = tmp_path / "map" / "c01" / "crop.tif"
    file.write_bytes(file.read_bytes()[:300])
    with pytest.raises(ValueError, match=rf"crop_32639.vrt: .* damaged .*{file}"):
        make()
    shutil.rmtree(file.parent)
    assert make()[2] == 1


def test_metadata_of_other_classes_is_named(make, tmp_path):
    make()
    file = tmp_path / "map" / "c01" / "map.json"
    metadata = json.loads(file.read_text())
    del metadata["area"]["maize"]
    file.write_text(json.dumps(metadata))
    with pytest.raises(ValueError, match=rf"{file}: expected areas of wheat, rapeseed, maize, no"):
        make()


@pytest.mark.parametrize("text", ["[" * 100_000, "{}", '["../x"]', "\xff"])
def test_a_list_of_what_was_written_that_cannot_be_read_is_named(make, tmp_path, text):
    (tmp_path / "map").mkdir()
    (tmp_path / "map" / ".predict.written.json").write_text(text, encoding="latin-1")
    with pytest.raises(ValueError, match=r"\.predict\.written\.json: expected a list of the files"):
        make()


def test_a_virtual_raster_is_written_whole_or_not_at_all(tmp_path, monkeypatch):
    """The disk fills up in the middle of the file."""
    crs = making.make_cube("a", 16).info.geobox.crs
    one = mosaics.Mosaic("32639", mosaics.Lattice(crs, 10.0, 5e5, 4e6), (), mosaics.Box(0, 0, 4, 4))

    def full(file):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match=r"crop\.vrt: could not be written .*free some space"):
        mosaics.write_vrt(tmp_path / "crop.vrt", one, "crop.tif", "crop")
    assert list(tmp_path.iterdir()) == []


def test_a_network_that_answers_with_no_numbers_makes_no_map(run, cubes, tmp_path):
    def broken(examples):
        return [np.full((*e["wanted"].shape, 3), np.nan, np.float32) for e in examples]

    with pytest.raises(ValueError, match="--workdir: the network's probabilities are not numbers"):
        small_maps.make_map(run, cubes, tmp_path / "map", broken)
    assert small_maps.shown(tmp_path / "map") == []


def test_too_large_a_batch_is_reported(run, cubes, tmp_path):
    def large(examples):
        raise MemoryError

    with pytest.raises(ValueError, match="--batch_size 2: too little memory"):
        small_maps.make_map(run, cubes, tmp_path / "map", large)
