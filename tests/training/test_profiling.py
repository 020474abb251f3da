"""What a run reports of itself."""

import dataclasses
import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from training import small_runs

from cropmap_jax.training import profiling


@pytest.fixture
def clock(monkeypatch):
    """A clock that stands still until it is set."""
    now = [100.0]
    monkeypatch.setattr(profiling.time, "monotonic", lambda: now[0])
    return now


def test_speed_is_that_of_the_steps_since_the_last_reading(clock):
    speed = profiling.Meter(batch_size=8)
    assert speed.idle and speed.read(3) == {}
    speed.start(3)
    assert not speed.idle and speed.read(3) == {}
    with speed.waiting():
        clock[0] += 1
    clock[0] += 3
    found = speed.read(5)
    assert found == {"chips_per_second": 4.0, "step_ms": 2000.0, "waiting": 0.25}
    # The wait belonged to the reading before.
    clock[0] += 1
    assert speed.read(6) == {"chips_per_second": 8.0, "step_ms": 1000.0, "waiting": 0.0}


def test_what_is_between_is_not_measured(clock):
    speed = profiling.Meter(batch_size=1)
    speed.start(0)
    clock[0] += 50  # a validation, say
    speed.start(4)
    clock[0] += 1
    assert speed.read(5)["step_ms"] == 1000


def test_a_trace_is_of_the_requested_steps(tmp_path, capsys):
    tracer = profiling.Tracer(2, tmp_path)
    names = []
    for step in range(7):
        tracer.begin()
        with jax.profiler.TraceAnnotation(f"step {step}"):
            found = jax.jit(lambda x: x + 1)(jnp.zeros(3))
        tracer.end({"x": found})
    tracer.close()
    printed = capsys.readouterr().out
    assert printed.startswith("trace: ") and "ui.perfetto.dev" in printed
    [path] = tmp_path.rglob("perfetto_trace.json.gz")
    assert str(path) in printed
    import gzip

    events = json.loads(gzip.decompress(path.read_bytes()))
    events = events["traceEvents"] if isinstance(events, dict) else events
    names = {event["name"] for event in events if event.get("name", "").startswith("step ")}
    assert names == {"step 3", "step 4"}


def test_a_trace_that_was_not_requested_leaves_nothing(tmp_path):
    tracer = profiling.Tracer(0, tmp_path / "profile")
    for _ in range(5):
        tracer.begin()
        tracer.end({})
    tracer.close()
    assert not (tmp_path / "profile").exists()


def test_a_run_describes_itself():
    class Source:
        steps, steps_per_epoch = 1200, 100.0

    data, recipe = small_runs.make_data(), small_runs.make_recipe(dtype="bfloat16")
    train_config = small_runs.make_train_config(batch_size=4, accumulate=2, remat=True)
    params = {"kernel": np.zeros((3, 1000)), "bias": np.zeros(7)}
    text = profiling.describe(data, recipe, train_config, Source, params, 30)
    assert "finetune: dual_unet3d on s1, s2; 3,007 parameters, " in text
    assert "bfloat16, parameters float32, sigmoid loss" in text
    assert f"x {jax.local_devices()[0].device_kind}, batch 4 chips (4 a device in 2 parts" in text
    assert "GFLOP a step" in text and "rematerialised" in text
    assert "1,200 steps (2 epochs of 100), resuming after step 30" in text
    assert "note" not in text
    table = data.chips["train"]
    without_pea = dataclasses.replace(table, pixels=table.pixels * [1, 0, 1, 1])
    data = dataclasses.replace(data, chips=data.chips | {"train": without_pea})
    text = profiling.describe(data, recipe, train_config, Source, params, 30)
    assert text.endswith("note: no annotated pixel of pea in train: it is not learnt")
