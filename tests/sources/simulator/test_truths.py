"""The truth of a tile: whole, of these settings, or made again; never somebody else's."""

import dataclasses
import errno

import numpy as np
import pytest
import rasterio

from cropmap_jax.geo import cube_io, files
from cropmap_jax.sources.simulator import run, sites, truths

SETTINGS = sites.Settings(
    world="iran", sites={"train": 1}, tiles=1, first="2022-04-01", last="2022-04-30",
    label="truth",
)  # fmt: skip


def simulate(root, settings=SETTINGS):
    return run.simulate(settings, root / "cubes", root / "truth", workers=1)


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    root = tmp_path_factory.mktemp("world")
    simulate(root)
    (info,) = cube_io.list_cubes(root / "cubes")
    return root, info


@pytest.fixture
def there(world, tmp_path):
    """A folder with the cube of `world`, the tile's folder for the truth, and its bytes."""
    root, info = world
    (tmp_path / "cubes").symlink_to(root / "cubes")
    folder = tmp_path / "truth" / info.cube_id
    folder.mkdir(parents=True)
    whole = {f"{n}.tif": (root / "truth" / info.cube_id / f"{n}.tif").read_bytes()
             for n in truths.NODATA}  # fmt: skip
    for name, data in whole.items():
        (folder / name).write_bytes(data)
    return tmp_path, folder, whole


def read(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def unmarked(info, name, array):
    """As an earlier version wrote it: the same pixels, no mark."""
    with rasterio.io.MemoryFile() as memory:
        with memory.open(driver="GTiff", dtype=array.dtype, count=1, height=128, width=128,
                         crs=info.geobox.crs.to_wkt(), transform=info.geobox.affine,
                         nodata=truths.NODATA[name], compress="zstd") as raster:  # fmt: skip
            raster.write(array, 1)
        return bytes(memory.getbuffer())


@pytest.mark.parametrize("keep", [0, 8, 300, -1])
@pytest.mark.parametrize("name", ["truth.tif", "parcel.tif"])
def test_what_was_cut_short_is_made_again(there, name, keep):
    root, folder, whole = there
    (folder / name).write_bytes(whole[name][:keep])
    done = simulate(root)
    assert (done.written, done.kept) == (0, 1)
    assert read(folder) == whole


def test_pixels_that_changed_are_made_again(there):
    root, folder, whole = there
    with rasterio.open(folder / "truth.tif", "r+") as raster:
        pixels = raster.read(1)
        pixels[5, 5] ^= 1
        raster.write(pixels, 1)
    simulate(root)
    assert read(folder) == whole


def test_what_is_missing_is_made_and_what_is_whole_is_not_touched(there):
    root, folder, whole = there
    (folder / "parcel.tif").unlink()
    (folder / "notes.txt").write_text("mine")
    before = (folder / "truth.tif").stat().st_mtime_ns
    simulate(root)
    assert read(folder) == whole | {"notes.txt": b"mine"}
    assert (folder / "truth.tif").stat().st_mtime_ns == before


def test_an_earlier_version_wrote_no_mark(there, world):
    # Its pixels are compared with what is simulated: the same ones get the mark.
    root, folder, whole = there
    with rasterio.open(folder / "truth.tif") as raster:
        pixels = raster.read(1)
    (folder / "truth.tif").write_bytes(unmarked(world[1], "truth", pixels))
    simulate(root)
    assert read(folder) == whole
    pixels[0, 0] = (pixels[0, 0] + 1) % 8
    other = unmarked(world[1], "truth", pixels)
    (folder / "truth.tif").write_bytes(other)
    with pytest.raises(ValueError, match=r"truth\.tif: expected the truth of iran_.*other pixels"):
        simulate(root)
    assert (folder / "truth.tif").read_bytes() == other


def test_the_truth_of_another_seed_stays(there, tmp_path):
    # Two worlds whose cubes lie side by side share the default folder of the truth.
    _, folder, whole = there
    settings = dataclasses.replace(SETTINGS, seed=1)
    with pytest.raises(ValueError, match=r"truth\.tif: expected .*seed: 0 there, 1 requested"):
        run.simulate(settings, tmp_path / "others", tmp_path / "truth", workers=1)
    assert read(folder) == whole and not (tmp_path / "others").exists()


def test_other_months_have_the_same_truth(there, tmp_path):
    _, folder, whole = there
    settings = dataclasses.replace(SETTINGS, first="2022-05-01", last="2022-05-31")
    done = run.simulate(settings, tmp_path / "others", tmp_path / "truth", workers=1)
    assert done.written == 1 and read(folder) == whole


def test_somebody_elses_file_stays(there):
    root, folder, _ = there
    (folder / "truth.tif").write_bytes(b"field notes")
    with pytest.raises(ValueError, match=r"truth\.tif: .*found another file"):
        simulate(root)
    assert (folder / "truth.tif").read_bytes() == b"field notes"


def test_on_a_full_disk_nothing_is_left(world, tmp_path, monkeypatch):
    def full(path, data):
        raise files.not_written(path, OSError(errno.ENOSPC, "No space left on device"))

    monkeypatch.setattr(truths.files, "write_bytes", full)
    with pytest.raises(OSError, match=r"truth\.tif: could not be written \(No space left"):
        simulate(tmp_path)
    assert list(tmp_path.rglob("*")) == [tmp_path / "truth"]


def test_what_killed_runs_left_goes_and_others_stay(there):
    root, folder, whole = there
    (folder / ".truth.tif.123.part").write_bytes(b"II*")
    (root / "cubes").unlink()
    left, others = (root / "cubes" / f".{name}.123.part" for name in (folder.name, "somebodys"))
    left.mkdir(parents=True)
    others.mkdir()
    simulate(root)
    assert read(folder) == whole
    assert {p.name for p in (root / "cubes").iterdir()} == {folder.name, others.name}


def test_georeference_and_legend(world):
    root, info = world
    with rasterio.open(root / "truth" / info.cube_id / "truth.tif") as raster:
        assert raster.tags()["SOURCE"].startswith('{"made_by": "cropmap_jax simulator"')
        assert raster.colormap(1)[0] == cube_io.colour_table(info.legend)[0]
        assert np.array_equal(raster.read(1), cube_io.read_cube(info.path).label)
