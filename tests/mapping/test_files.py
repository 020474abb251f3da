"""Whole or not there."""

import pytest

from cropmap_jax.mapping import files


def names(folder) -> list[str]:
    return sorted(str(p.relative_to(folder)) for p in folder.rglob("*"))


def test_a_folder_takes_the_place_of_another(tmp_path):
    for text in ("one", "two"):
        with files.replacing(tmp_path / "map") as part:
            part.mkdir()
            (part / text).write_text(text)
            assert (tmp_path / "map" / "two").exists() is False
    assert names(tmp_path) == ["map", "map/two"]


@pytest.mark.parametrize("error", [RuntimeError("ours"), OSError(28, "No space left on device")])
def test_a_failure_leaves_what_was_there(tmp_path, error):
    (tmp_path / "map").mkdir()
    (tmp_path / "map" / "old").write_text("old")
    with pytest.raises(type(error)) as raised, files.replacing(tmp_path / "map") as part:
        part.mkdir()
        (part / "new").write_text("half")
        raise error
    if isinstance(error, OSError):
        assert f"{tmp_path / 'map'}: could not be written (No space left" in str(raised.value)
    assert names(tmp_path) == ["map", "map/old"]


def test_a_folder_that_cannot_be_replaced_stays(tmp_path):
    (tmp_path / "map").mkdir()
    (tmp_path / "map" / "old").write_text("old")
    with pytest.raises(OSError, match="nothing was kept"), files.replacing(tmp_path / "map"):
        pass  # nothing was written that could take its place
    assert names(tmp_path) == ["map", "map/old"]


def test_a_file_is_replaced_as_a_whole(tmp_path):
    file = tmp_path / "a.csv"
    files.write_bytes(file, b"one")
    files.write_bytes(file, b"two")
    assert file.read_bytes() == b"two" and names(tmp_path) == ["a.csv"]


def test_tidying_removes_what_was_left_unfinished_and_nothing_else(tmp_path):
    for name in (".c00.123.part", ".c00.v1.9.old", "c00", ".hidden"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "crop.tif").touch()
    for name in (".crop.vrt.7.part", ".notes.part", "crop.vrt"):
        (tmp_path / name).touch()
    files.tidy(tmp_path)
    left = sorted(p.name for p in tmp_path.iterdir())
    assert left == [".hidden", ".notes.part", "c00", "crop.vrt"]
