"""The benchmark of predict: what it draws can be mapped, and each stage of it is measured."""

import numpy as np

from benchmarks import predict
from cropmap_jax.geo import cube_io


def test_stages_of_a_drawn_region(tmp_path):
    folder = predict.draw_region(tmp_path / "cubes", 140)
    (info,) = cube_io.list_cubes(folder)
    assert info.shape == (140, 140)
    workdirs = predict.draw_networks(tmp_path)
    assert set(workdirs) == {"per pixel", "the demo's"}
    found = predict.time_stages(workdirs["per pixel"], folder, "2022-05-01", 4)
    assert set(found["seconds"]) == {
        "read", "missing values", "network", "class and confidence", "encode", "compare checksums",
    }  # fmt: skip
    assert all(seconds > 0 for seconds in found["seconds"].values())
    # 6 x (3 sides x (12 bands + 6 indices), 2 flags and a 1) -> 64 each; these and the season ->
    # 256 -> 256 -> 6 classes and none of these.
    dense = 2 * (6 * 57 * 64 + 386 * 256 + 256 * 256 + 256 * 7)
    assert dense <= found["flops"] < 1.1 * dense and found["rate"] > 0 < found["peak"]
    assert "microseconds a pixel" in predict._stage_table(found)


def test_maps_are_compared_byte_for_byte(tmp_path):
    for name in "ab":
        (tmp_path / name / "cube").mkdir(parents=True)
        (tmp_path / name / "cube" / "crop.tif").write_bytes(bytes(9))
        (tmp_path / name / "note.txt").write_text(name)
    assert predict._same(tmp_path / "a", tmp_path / "b")
    (tmp_path / "b" / "cube" / "crop.tif").write_bytes(np.arange(9, dtype=np.uint8).tobytes())
    assert not predict._same(tmp_path / "a", tmp_path / "b")
