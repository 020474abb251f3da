"""However many devices share a batch, the result is the same."""

import os
import pathlib
import re
import socket
import subprocess
import sys

import jax
import numpy as np
import pytest

from cropmap_jax.training import parallel

SCRIPT = pathlib.Path(__file__).with_name("on_devices.py")
CHECKOUT = SCRIPT.parents[2]


def port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


def begin(devices: int | None, cache_dir, *words) -> subprocess.Popen:
    """A Python process that has so many devices, or settles that by itself."""
    flags = os.environ.get("XLA_FLAGS", "")
    flags = re.sub(r"--xla_force_host_platform_device_count=\d+", "", flags)
    environment = os.environ | {
        "PYTHONPATH": os.pathsep.join([str(CHECKOUT), str(CHECKOUT / "tests")]),
        "JAX_PLATFORMS": "cpu",
        "JAX_COMPILATION_CACHE_DIR": str(cache_dir),
        "JAX_DISABLE_MOST_OPTIMIZATIONS": "1",
        "XLA_FLAGS": flags,
    }
    if devices:
        environment["XLA_FLAGS"] += f" --xla_force_host_platform_device_count={devices}"
    command = [sys.executable, *map(str, words)]
    return subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True)


@pytest.fixture(scope="module")
def written(tmp_path_factory, cache_dir) -> pathlib.Path:
    """What `on_devices.py` finds on one device, on four, and in two processes of two each."""
    folder = tmp_path_factory.mktemp("devices")
    process = begin(None, cache_dir, SCRIPT, folder, f"127.0.0.1:{port()}")
    _, errors = process.communicate(timeout=300)
    assert process.returncode == 0, errors
    return folder


def read(written, way) -> dict[str, dict[str, np.ndarray]]:
    """What the runs found that trained in a way, by run."""
    found = {}
    for run in ("one", "four", "first", "second"):
        if (file := written / f"{run}-{way}.npz").is_file():
            with np.load(file) as opened:
                found[run] = dict(opened)
    several = {"sgd": {"four"}, "pixels": {"four", "first", "second"}}
    assert found.keys() == {"one"} | several.get(way, {"first", "second"})
    return found


@pytest.mark.parametrize("way", ["sgd", "adam", "pixels", "pu"])
def test_however_many_devices_and_processes_train_the_same(written, way):
    runs = read(written, way)
    one = runs.pop("one")
    trained = [n for n in one if n.startswith(("['params']", "['batch_stats']", "['ema']"))]
    # A head of two layers with statistics; or one layer, and its average.
    assert len([n for n in trained if "['head']" in n]) == (4 if "['ema']" in str(trained) else 8)
    assert one["losses"].shape == (20, 1)
    assert {one[name].dtype for name in trained} == {np.dtype(np.float64)}
    for run, found in runs.items():
        devices = 4 if run == "four" else 2
        assert one.keys() == found.keys()
        assert found["losses"].shape == (20, devices)
        expected = np.tile(one["losses"], devices)
        np.testing.assert_allclose(found["losses"], expected, rtol=1e-5)
        for name in trained:
            np.testing.assert_allclose(
                found[name], one[name], rtol=0, atol=1e-6, err_msg=f"{run} {name}"
            )
    apart = {
        run: max(float(np.abs(found[name] - one[name]).max()) for name in trained)
        for run, found in runs.items()
    }
    print("largest difference of a parameter or statistic:", apart)


@pytest.mark.parametrize("way", ["sgd", "adam", "pixels", "pu"])
def test_all_devices_hold_the_same_state(written, way):
    runs = read(written, way)
    del runs["one"]
    for found in runs.values():
        spread = [name for name in found if name.startswith("spread")]
        assert len(spread) > 25 or "['ema']" in str(spread) and len(spread) == 12
        for name in spread:
            assert (found[name] == 0).all(), name


@pytest.mark.parametrize("way", ["sgd", "pixels"])
def test_however_many_devices_and_processes_count_the_same(written, way):
    runs = read(written, way)
    one = runs.pop("one")
    for found in runs.values():
        for name in ("hits", "misses", "false_alarms", "weight"):
            np.testing.assert_allclose(found[f"sum/{name}"], one[f"sum/{name}"], atol=2)
        # At 0.5 a crop may not be predicted at all, but what there is was counted.
        assert one["sum/hits"].sum() + one["sum/misses"].sum() > 0 < one["sum/weight"]
        np.testing.assert_allclose(found["sum/loss"], one["sum/loss"], rtol=1e-5)


# Starting, and agreeing.


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (
            (None, 2, None),
            "--num_processes 2: expected --coordinator HOST:PORT with it, found none",
        ),
        (
            ("auto", 2, None),
            "--num_processes 2: expected --coordinator HOST:PORT .* found --coordinator auto",
        ),
        (
            ("auto", None, 1),
            "--process_id 1: expected --coordinator HOST:PORT .* found --coordinator auto",
        ),
        (("a:1", None, 0), "--num_processes: expected a number with --coordinator"),
        (("a:1", 2, None), "--process_id: expected a number with --coordinator"),
        (("a:1", 2, 2), r"--process_id: expected 0 to 1 \(--num_processes 2\), found 2"),
        (("host", 2, 0), "--coordinator: expected HOST:PORT or auto, found 'host'"),
        (("host:x", 2, 0), "--coordinator: expected HOST:PORT or auto, found 'host:x'"),
    ],
)
def test_settings_that_do_not_belong_together_are_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        parallel.start(*settings)


def test_an_error_without_a_word_is_named(monkeypatch):
    def silent(*_):
        raise RuntimeError

    monkeypatch.setattr(jax.distributed, "initialize", silent)
    with pytest.raises(ValueError, match=r"^--coordinator host:1: RuntimeError\(\)$"):
        parallel.start("host:1", 2, 0)


def test_processes_with_unequal_numbers_of_devices_are_refused_by_each(cache_dir):
    address, script = f"127.0.0.1:{port()}", "import sys\n"
    script += "from cropmap_jax.training import parallel\n"
    script += "try:\n    parallel.start(sys.argv[1], 3, int(sys.argv[2]))\n"
    script += "except ValueError as error:\n    sys.exit(str(error))\n"
    # The middle one has a third of all devices: by its own count nothing would be wrong.
    started = [begin(n, cache_dir, "-c", script, address, i) for i, n in enumerate((1, 2, 3))]
    for process in started:
        _, errors = process.communicate(timeout=120)
        assert process.returncode == 1, errors
        expected = "found 1 in process 0, 2 in process 1, 3 in process 2"
        assert f"expected the same number of devices in every process, {expected}" in errors


def test_one_process_starts_alone_and_agrees_with_itself_at_once():
    parallel.start(None)
    agreed = parallel.Agreement(2, lag=2)
    assert agreed(True, False) == (True, False)
    assert agreed(False, True) == (False, True)


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
    assert copies["a"].shape == (2,)
    assert len(copies["a"].addressable_shards) == jax.local_device_count()
    back = parallel.unreplicate(copies)
    assert jax.tree.structure(back) == jax.tree.structure(tree)
    for found, expected in zip(jax.tree.leaves(back), jax.tree.leaves(tree), strict=True):
        assert found.dtype == expected.dtype
        np.testing.assert_array_equal(found, expected)


def test_what_is_unreplicated_is_a_copy():
    copies = parallel.replicate({"x": np.zeros(5, np.float32)})
    kept = parallel.unreplicate(copies)["x"]
    # A saved state must not change when the next step is given its buffers.
    assert not np.shares_memory(kept, np.asarray(copies["x"].addressable_shards[0].data))
