"""The benchmark of storages reads the same pixels from all of them."""

import json

import numpy as np
import pytest

from benchmarks import storage


def test_every_storage_is_measured(tmp_path, capsys):
    storage.main(["--quick", "--json", str(tmp_path / "out.json")])
    printed = capsys.readouterr().out
    (found,) = json.loads((tmp_path / "out.json").read_text())["figures"].values()
    assert set(found) == {"1", "2"}
    for times in found.values():
        assert set(times) == set(storage.STORAGES)
        assert all(t["median"] > 0 for t in times.values())
    for name in storage.STORAGES:
        assert f"| {name} " in printed


def test_a_storage_that_returns_other_pixels_is_not_measured(tmp_path):
    chips = storage.draw(2, 3, 4)
    read = storage.npy_map(chips, tmp_path)
    storage.check({"good": read}, chips, 2)

    def shifted(chosen: np.ndarray, out: storage.Pixels) -> None:
        read(chosen * [1, 0], out)

    with pytest.raises(ValueError, match="^bad: s1 of chip 1 is not what was written$"):
        storage.check({"bad": shifted}, chips, 2)
