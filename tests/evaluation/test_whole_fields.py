"""A field that lies in several cubes counts once, and two fields of one id count twice."""

import numpy as np
import pytest
from inference.stand_ins import StandIn
from training import small_data
from training.small_data import Ground, day

from cropmap_jax.evaluation import split_tally
from cropmap_jax.evaluation.groups import Counts, Groups
from cropmap_jax.evaluation.metrics import Counts as Binary
from cropmap_jax.evaluation.metrics import Tally
from cropmap_jax.evaluation.whole_fields import Pieces, Sums
from cropmap_jax.geo.legend import IGNORE, NONE_OF_THESE


def cube(col: int, row: int = 0, season: str = "2022", crs: str = "EPSG:32631") -> dict:
    """A cube of 4 x 4 pixels, so many cubes to the east and south."""
    transform = [10.0, 0.0, 500_000.0 + 40 * col, 0.0, -10.0, 6_000_000.0 - 40 * row]
    return {"season": season, "crs": crs, "transform": transform, "block": f"b{row}"}


def ground(pixels: dict, ids: dict | None = None) -> tuple[np.ndarray, np.ndarray]:
    """Label and fields [4, 4]: {(row, col): class}, and ids in the same way; 7 where not given."""
    label, fields = np.full((4, 4), IGNORE, np.uint8), np.zeros((4, 4), np.uint32)
    for at, crop in pixels.items():
        label[at], fields[at] = crop, (ids or {}).get(at, 7)
    return label, fields


def members(cubes, *grounds) -> list[int]:
    pieces = Pieces(cubes)
    for index, (label, fields) in enumerate(grounds):
        pieces.add(index, label, fields)
    return pieces.members().tolist()


EAST, WEST = {(1, 3): 0, (2, 3): 0}, {(1, 0): 0}


def test_pieces_that_meet_at_the_edge_are_one_field():
    assert members([cube(0), cube(1)], ground(EAST), ground(WEST)) == [0, 0]
    # Diagonally as well, over four cubes.
    corners = [{(3, 3): 1}, {(3, 0): 1}, {(0, 3): 1}, {(0, 0): 1}]
    cubes = [cube(0), cube(1), cube(0, 1), cube(1, 1)]
    assert members(cubes, *map(ground, corners)) == [0, 0, 0, 0]
    assert members([cubes[0], cubes[3]], ground(corners[0]), ground(corners[3])) == [0, 0]


@pytest.mark.parametrize(
    ("second", "pixels", "ids"),
    [
        (cube(2), WEST, None),  # a gap of a cube between them
        (cube(1), {(1, 1): 0}, None),  # not at the edge
        (cube(1), {(3 + 0, 0): 1}, None),  # another class
        (cube(1), WEST, {(1, 0): 9}),  # another id
        (cube(1, season="2021"), WEST, None),
        (cube(1, crs="EPSG:32632"), WEST, None),
    ],
)
def test_other_pieces_of_the_same_id_are_other_fields(second, pixels, ids):
    first = ground(EAST)
    found = members([cube(0), second], first, ground(pixels, ids))
    assert found == [0, 1]


def test_ids_that_count_the_parts_of_a_cube_are_no_ids():
    # In both cubes `build` numbered the parts of the label from 1: part 2 goes on as part 1.
    first = ground({(0, 0): 0, (1, 3): 0, (2, 3): 0}, {(0, 0): 1, (1, 3): 2, (2, 3): 2})
    second = ground({(1, 0): 0, (3, 3): 0}, {(1, 0): 1, (3, 3): 2})
    assert members([cube(0), cube(1)], first, second) == [0, 1, 1, 2]
    # With ids of another kind in one cube, only the same id tells.
    other = ground({(1, 0): 0, (3, 3): 0}, {(1, 0): 5, (3, 3): 6})
    assert members([cube(0), cube(1)], first, other) == [0, 1, 2, 3]


def test_means_and_truth_of_a_field_are_of_all_its_pixels():
    pieces, sums = Pieces([cube(0), cube(1)]), Sums([0, 1])
    values = (0.9, 0.3)
    for index, (own, value) in enumerate(zip((EAST, WEST), values, strict=True)):
        label, fields = ground(own)
        probability = np.full((4, 4, 2), value, np.float32)
        seen = np.ones((4, 4, 2), bool)
        seen[2, 3, 1] = False  # one pixel, for the second column
        probability[2, 3, 1] = np.nan
        sums.add(pieces.add(index, label, fields), label, probability, seen)
    whole = sums.whole(pieces.members())
    assert whole.mean == pytest.approx(np.array([[0.7, 0.6]]), abs=1e-6)
    assert whole.size.tolist() == [[3, 2]] and whole.hits.tolist() == [[3, 0]]


def neighbours(split_of_second: str = "test"):
    """Two cubes side by side with a field across their edge, and one of none of these."""
    label = np.full((8, 8), IGNORE, np.uint8)
    fields = np.zeros((8, 8), np.uint32)
    label[2:4, 6:], fields[2:4, 6:] = 0, 5
    mirrored = label[:, ::-1].copy(), fields[:, ::-1].copy()
    mirrored[0][7] = NONE_OF_THESE
    data = small_data.make_dataset(
        [Ground("test", label, fields), Ground(split_of_second, *mirrored)]
    )
    for i, row in enumerate(data.cubes):
        row["transform"] = [10.0, 0.0, 500_000.0 + 80 * i, 0.0, -10.0, 6_000_000.0]
    return data


def test_a_split_counts_a_field_in_two_cubes_once():
    data = neighbours()
    method = split_tally.Method([0, 1], np.array([[0.35, 0.5]] * 2))
    shares = np.array([0.6, 0.2, 0.2], np.float32)
    predictor = StandIn(lambda es: [np.tile(shares, (*e["wanted"].shape, 1)) for e in es])
    dates = np.full((2, 2), day("2022-06-01"))
    _, groups = split_tally.tally(predictor, "test", data, 2, dates, [method])
    assert groups.unit == "block" and method.counts["pixels"].shape == (2, 2, 2, 4)
    assert method.tallies[0].fields.total == 1 and method.tallies[0].pixels.total == 16
    assert method.tallies[0].fields.counts(0.5) == Binary(tp=1, fp=0, fn=0, tn=0)
    # By block: tp, fp, fn, tn. The field is of the block of its first piece.
    assert method.counts["pixels"][:, 0, 1].tolist() == [[4, 0, 0, 0], [4, 8, 0, 0]]
    assert method.counts["fields"][:, 0, 1].tolist() == [[1, 0, 0, 0], [0, 0, 0, 0]]
    assert method.counts["pixels"][:, 1, 1].tolist() == [[0, 0, 0, 4], [0, 0, 0, 12]]


def test_a_split_of_one_block_is_drawn_by_field_and_square():
    data = neighbours()
    for row in data.cubes:
        row["block"] = "one"
    groups, counts = Groups(data, "test"), Counts(np.array([[0.5]]))
    for index in (0, 1):
        record = data.records["test"][index]
        _, group = groups.add(index, record["label"], record["fields"])
        known = record["label"] != IGNORE
        own = group[known]
        counts.add(own, np.full((len(own), 1), 0.7), np.ones((len(own), 1), bool),
                   np.ones((len(own), 1), bool))  # fmt: skip
    member = groups.pieces.members()
    assert groups.unit == "field"
    found = counts.total(groups.members(member), groups.count(member))[:, 0, 0, 0]
    # The field, and the 8 pixels without one, which lie in a square of 20 pixels, or two.
    assert found[0] == 8 and found[1:].sum() == 8 and len(found) in (2, 3)
    assert groups.of_fields(member).tolist() == groups.cubes(member).tolist() == [0]


@pytest.mark.parametrize("threshold", [0.35, 0.5, 0.07])
def test_counts_by_group_add_up_to_those_of_a_tally(threshold):
    rng = np.random.default_rng(0)
    values = rng.integers(0, 101, 3000).astype(np.float32) / 100
    positive, there = rng.random(3000) < 0.3, rng.random(3000) < 0.8
    tally, counts = Tally(), Counts(np.array([[0.2, threshold]]))
    tally.add(values[there], positive[there])
    for part in np.split(np.arange(3000), 3):
        counts.add(part % 7, values[part, None], positive[part, None], there[part, None])
    found = counts.total(np.array([0, 1, 2, 0, 1, 2, 0]), 3)
    assert Binary(*found.sum(0)[0, 1].tolist()) == tally.counts(threshold)
    own = there & np.isin(
        np.concatenate([np.arange(1000 * k, 1000 * k + 1000) for k in range(3)]) % 7, (1, 4)
    )
    assert found[1].sum() == 2 * own.sum()
