"""The README's picture puts cubes at their places; the install benchmark knows the extras."""

import dataclasses

import numpy as np
import pytest
from affine import Affine

from benchmarks import install, picture


@dataclasses.dataclass
class Grid:
    affine: Affine


@dataclasses.dataclass
class Info:
    cube_id: str
    geobox: Grid


def test_cubes_of_a_site_lie_at_their_places():
    # Two columns of 3 pixels of 10 m, the right one 20 m lower than the left one.
    infos = [
        Info("right", Grid(Affine(10, 0, 530, 0, -10, 980))),
        Info("left", Grid(Affine(10, 0, 500, 0, -10, 1000))),
    ]
    parts = {"right": np.full((2, 2), 7, np.uint8), "left": np.array([[1, 2, 3]], np.uint8)}
    found = picture._together(infos, parts)
    np.testing.assert_array_equal(
        found, [[1, 2, 3, 0, 0], [0, 0, 0, 0, 0], [0, 0, 0, 7, 7], [0, 0, 0, 7, 7]]
    )


def test_crops_that_cover_little_are_not_counted():
    classes = np.full((10, 10), 254, np.uint8)
    classes[0, :2], classes[1, 0] = 3, 5  # 2 % and 1 %
    assert picture._crops(classes) == 1


def test_extras_are_those_of_setup_but_the_large_ones(monkeypatch, capsys):
    found = install.extras()
    assert found[0] == "" and {"all", "fields", "stac"} <= set(found)
    assert not {"cuda12", "cuda13", "tpu", "torch"} & set(found)
    monkeypatch.setattr("sys.argv", ["install", "--extras", "fields,torch"])
    with pytest.raises(SystemExit, match="--extras: expected .*, found torch"):
        install.main()
