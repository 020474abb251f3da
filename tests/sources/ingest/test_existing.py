"""What ingest finds in the folder of cubes, and what it never takes the place of."""

import shutil

import pytest

from cropmap_jax.geo import cube_io, files, splits
from cropmap_jax.sources.ingest import existing, options, run
from tests.sources import own_stack


def ingest(path, cubes, **flags):
    return run.ingest(options.Options(str(path), str(cubes), **flags))


def tree(folder):
    return {p.relative_to(folder): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def refuses(path, cubes, message, **flags):
    before = tree(cubes.parent)
    with pytest.raises(ValueError) as error:
        ingest(path, cubes, **flags)
    assert message in str(error.value) and "\n" not in str(error.value)
    assert tree(cubes.parent) == before


@pytest.mark.parametrize("overwrite", [False, True])
def test_the_input_is_never_in_a_cubes_place(tmp_path, overwrite):
    folder = own_stack.write_folder(tmp_path / "field1")
    flags = {"overwrite": overwrite, "legend": "isrc"}
    refuses(folder, tmp_path, "field1: is --input", **flags)
    refuses(folder, folder, "field1: lies in --input", **flags)
    inside = tmp_path / "deep" / "stack"
    inside.parent.mkdir()
    shutil.move(folder, inside)
    refuses(inside, tmp_path, "deep: holds --input", name="deep", **flags)
    # Beside it is apart.
    assert "written" in ingest(inside, tmp_path, name="field2", **flags)


def test_a_legend_in_a_cubes_place_is_an_input_too(tmp_path):
    file = own_stack.write_npz(tmp_path, class_names=None, label=own_stack.label() % 253 % 3)
    (tmp_path / "cubes" / "stack").mkdir(parents=True)
    legend = own_stack.write_legend(tmp_path / "cubes" / "stack")
    cubes = tmp_path / "cubes"
    refuses(file, cubes, "stack: holds --legend", legend=str(legend), overwrite=True)


def test_links_into_a_cube_that_would_be_replaced(tmp_path):
    cubes, folder = tmp_path / "cubes", own_stack.write_folder(tmp_path / "stack")
    ingest(folder, cubes, legend="isrc")
    again = own_stack.write_folder(tmp_path / "again")
    (again / "s2.tif").unlink()
    (again / "s2.tif").symlink_to(cubes / "stack" / "s2.tif")
    flags = {"legend": "isrc", "name": "stack", "overwrite": True}
    refuses(again, cubes, "s2.tif of --input leads into a cube that would be written", **flags)


@pytest.mark.parametrize("overwrite", [False, True])
@pytest.mark.parametrize("kind", ["notes", "empty", "file", "link", "more"])
def test_what_is_no_cube_alone_stays(tmp_path, kind, overwrite):
    file, cubes = own_stack.write_npz(tmp_path), tmp_path / "cubes"
    target = cubes / "stack"
    cubes.mkdir()
    if kind == "file":
        target.write_text("mine")
    elif kind == "link":
        ingest(file, tmp_path / "others")
        target.symlink_to(tmp_path / "others" / "stack")
    elif kind == "more":
        ingest(file, cubes)
        (target / "notes.txt").write_text("mine")
    else:
        target.mkdir()
        if kind == "notes":
            (target / "notes.txt").write_text("mine")
    if kind == "more" and not overwrite:
        assert "already there" in ingest(file, cubes)
        return
    refuses(file, cubes, "stack is there and is not just a cube", overwrite=overwrite)
    with pytest.raises(ValueError) as error:
        ingest(file, cubes, overwrite=overwrite)
    assert "--overwrite" not in str(error.value)


def test_a_folder_that_another_process_writes(tmp_path):
    file, cubes = own_stack.write_npz(tmp_path), tmp_path / "cubes"
    with (
        files.Lock(cubes, "--cubes"),
        pytest.raises(ValueError, match="--cubes .* in use by .*wait until that ends"),
    ):
        ingest(file, cubes)
    assert "written" in ingest(file, cubes)
    assert [path.name for path in cubes.iterdir()] == ["stack"]
    # What is there needs no writing, and so no lock.
    with files.Lock(cubes, "--cubes"):
        assert "already there" in ingest(file, cubes)


def test_a_cube_that_appears_while_pixels_are_checked(tmp_path):
    file, cubes = own_stack.write_npz(tmp_path), tmp_path / "cubes"

    def meanwhile(items, desc, unit):
        if desc == "checking":
            ingest(file, cubes, name="other")
        return items

    with pytest.raises(ValueError, match="found other, which stack would overlap"):
        run.ingest(options.Options(str(file), str(cubes)), meanwhile)
    assert [i.cube_id for i in cube_io.list_cubes(cubes)] == ["other"]


def test_cubes_that_are_there_are_compared_once(tmp_path, monkeypatch):
    """All at once through an index, and not each with all that are new."""
    cubes, calls = tmp_path / "cubes", []
    for i in range(4):
        affine = (10.0, 0.0, 600000.0 + 1000 * i, 0.0, -10.0, 5600000.0)
        file = own_stack.write_npz(tmp_path, f"there{i}.npz", transform=own_stack.np.array(affine))
        ingest(file, cubes)
    find = splits.find_overlap
    monkeypatch.setattr(splits, "find_overlap", lambda *a, **k: calls.append(a) or find(*a, **k))
    affine = (10.0, 0.0, 600000.0, 0.0, -10.0, 5700000.0)
    file = own_stack.write_npz(tmp_path, "new.npz", transform=own_stack.np.array(affine))
    ingest(file, cubes, split="blocks:4")
    assert len(calls) == 1 and len(calls[0][0]) == 4 + 3 * 4


def test_others_that_share_ground_do_not_stop_what_is_apart_from_them(tmp_path):
    cubes = tmp_path / "cubes"
    for name in ("a", "b"):
        ingest(own_stack.write_npz(tmp_path), tmp_path / name, name=name)
        shutil.copytree(tmp_path / name / name, cubes / name)
    apart = own_stack.np.array((10.0, 0.0, 700000.0, 0.0, -10.0, 5600000.0))
    assert "written" in ingest(own_stack.write_npz(tmp_path, transform=apart), cubes)


def test_names_of_what_is_there(tmp_path):
    assert existing.list_names(tmp_path / "none") == frozenset()
    (tmp_path / ".hidden").mkdir()
    (tmp_path / "a").mkdir()
    assert existing.list_names(tmp_path) == {"a"}


@pytest.mark.parametrize("flag", ["input", "cubes"])
@pytest.mark.parametrize(
    "url", ["gs://bucket/cubes", "s3://b/c", "https://h/c", "/vsicurl/http://h"]
)
def test_urls_are_no_folders(tmp_path, monkeypatch, flag, url):
    monkeypatch.chdir(tmp_path)
    paths = {"input": str(own_stack.write_npz(tmp_path)), "cubes": "cubes"} | {flag: url}
    with pytest.raises(ValueError, match=f"--{flag} .*expected a path on this machine"):
        run.ingest(options.Options(**paths))
    assert [path.name for path in tmp_path.iterdir()] == ["stack.npz"]
