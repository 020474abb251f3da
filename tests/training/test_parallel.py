"""However many devices share a batch, the result is the same."""

import os
import pathlib
import re
import subprocess
import sys

import jax
import numpy as np
import pytest

from cropmap_jax.training import parallel

SCRIPT = pathlib.Path(__file__).with_name("on_devices.py")
CHECKOUT = SCRIPT.parents[2]


@pytest.fixture(scope="module")
def runs(tmp_path_factory, cache_dir) -> dict[int, dict[str, np.ndarray]]:
    """What `on_devices.py` found on one device and on four."""
    folder = tmp_path_factory.mktemp("devices")
    environment = os.environ | {
        "PYTHONPATH": os.pathsep.join([str(CHECKOUT), str(CHECKOUT / "tests")]),
        "JAX_PLATFORMS": "cpu",
        "JAX_COMPILATION_CACHE_DIR": str(cache_dir),
        "JAX_DISABLE_MOST_OPTIMIZATIONS": "1",
    }
    other = re.sub(
        r"--xla_force_host_platform_device_count=\d+", "", os.environ.get("XLA_FLAGS", "")
    )
    started = {}
    for count in (1, 4):
        flags = f"{other} --xla_force_host_platform_device_count={count}"
        command = [sys.executable, str(SCRIPT), str(folder / f"{count}.npz"), str(count)]
        started[count] = subprocess.Popen(
            command, env=environment | {"XLA_FLAGS": flags}, stderr=subprocess.PIPE, text=True
        )
    found = {}
    for count, process in started.items():
        _, errors = process.communicate(timeout=300)
        assert process.returncode == 0, errors
        with np.load(folder / f"{count}.npz") as file:
            found[count] = dict(file)
    return found


def test_four_devices_train_like_one(runs):
    one, four = runs[1], runs[4]
    assert one.keys() == four.keys()
    assert one["losses"].shape == (3, 1) and four["losses"].shape == (3, 4)
    np.testing.assert_allclose(four["losses"], np.tile(one["losses"], 4), rtol=1e-5)
    trained = [name for name in one if name.startswith(("['params']", "['batch_stats']"))]
    assert len([n for n in trained if "['head']" in n]) == 8
    for name in trained:
        np.testing.assert_allclose(four[name], one[name], rtol=0, atol=1e-6, err_msg=name)


def test_all_devices_hold_the_same_state(runs):
    spread = [name for name in runs[4] if name.startswith("spread")]
    assert len(spread) > 50
    for name in spread:
        assert (runs[4][name] == 0).all(), name


def test_four_devices_count_like_one(runs):
    for name in ("hits", "misses", "false_alarms", "weight"):
        np.testing.assert_array_equal(runs[4][f"sum/{name}"], runs[1][f"sum/{name}"])
        assert runs[1][f"sum/{name}"].sum() > 0
    np.testing.assert_allclose(runs[4]["sum/loss"], runs[1]["sum/loss"], rtol=1e-5)


# On the devices at hand.


def test_shard_and_unshard_are_inverse():
    count = jax.local_device_count()
    batch = {"x": np.arange(6 * count).reshape(2 * count, 3), "y": np.arange(2 * count)}
    parts = parallel.shard(batch)
    assert parts["x"].shape == (count, 2, 3)
    assert parts["x"][0].tolist() == [[0, 1, 2], [3, 4, 5]]
    np.testing.assert_array_equal(parallel.unshard(parts["x"]), batch["x"])


def test_a_batch_that_the_devices_do_not_divide_is_refused(monkeypatch):
    monkeypatch.setattr(jax, "local_device_count", lambda: 4)
    with pytest.raises(ValueError, match="config.batch_size: expected a multiple of 4 .* found 6"):
        parallel.shard({"x": np.zeros((6, 2))})


def test_replicate_and_unreplicate_keep_values_and_types():
    tree = {"a": np.float32([1.5, 2.5]), "b": (np.int32(3), {"c": np.zeros((2, 2), np.float32)})}
    copies = parallel.replicate(tree)
    assert copies["a"].shape == (jax.local_device_count(), 2)
    back = parallel.unreplicate(copies)
    assert jax.tree.structure(back) == jax.tree.structure(tree)
    for found, expected in zip(jax.tree.leaves(back), jax.tree.leaves(tree), strict=True):
        assert found.dtype == expected.dtype
        np.testing.assert_array_equal(found, expected)
