"""A run from end to end: what it writes, how it stops, and that it resumes where it was."""

import dataclasses
import json
import re
import shutil
import signal
import threading

import jax
import numpy as np
import pytest
from training import small_data, small_runs
from training.small_data import HARVEST, Ground, day

from cropmap_jax.data import input_pipeline
from cropmap_jax.data.sampling import SamplingConfig
from cropmap_jax.geo import files
from cropmap_jax.geo.legend import IGNORE
from cropmap_jax.training import (
    checkpoints,
    loop,
    metric_log,
    parallel,
    steps,
    stopping,
    train_config,
    validation,
)

DATA = small_runs.make_data()
RECIPE = small_runs.make_recipe()
VARIABLES = steps.init_variables(RECIPE, 2)  # predicts some pixels right


def train(workdir, data=DATA, recipe=RECIPE, **changes):
    return loop.train(data, recipe, small_runs.make_train_config(**changes), VARIABLES, workdir)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """The workdir and the last record of a run that nothing interrupted."""
    workdir = tmp_path_factory.mktemp("whole")
    return workdir, train(workdir)


def test_a_run_moves_every_parameter_and_nothing_of_the_frozen_trunk(whole):
    workdir, _ = whole
    before = small_runs.leaves(VARIABLES)
    restored = checkpoints.load(workdir)
    after = small_runs.leaves(restored.variables)
    assert before.keys() == after.keys()
    trunk_statistics = [n for n in before if re.match(r"\['batch_stats'\]\['s[12]'\]", n)]
    assert len(trunk_statistics) == 16  # two sensors, four layers each, mean and variance
    for name in before:
        same = before[name].tobytes() == after[name].tobytes()
        assert same == (name in trunk_statistics), name
    assert (restored.step, restored.stage) == (5, "finetune")
    assert restored.recipe == RECIPE
    assert restored.config == {"epochs": 2, "as_of": []}


def test_metrics_are_lines_of_json(whole):
    workdir, last = whole
    lines = [json.loads(s) for s in (workdir / "metrics.jsonl").read_text().splitlines()]
    # Five chips in batches of two: the epochs end after 2.5 and 5 batches, seen at steps 3 and 5.
    assert [line["step"] for line in lines] == [1, 2, 3, 3, 4, 5, 5]
    scores = [line for line in lines if "validation/loss" in line]
    assert [line["step"] for line in scores] == [3, 5]
    assert all(set(s) == {"step", "validation/loss", "validation/macro_f1"} for s in scores)
    trained = [line for line in lines if "loss" in line]
    assert [line["epoch"] for line in trained] == pytest.approx([0.4, 0.8, 1.2, 1.6, 2.0])
    # A warm-up of one step from 0, then a cosine over the four that are left: the factors
    # (1 + cos(pi i / 4)) / 2 at i = 0 to 3.
    factors = [0, 1, (1 + 0.5**0.5) / 2, 0.5, (1 - 0.5**0.5) / 2]
    for group, peak in (("trunk", 0.01), ("head", 0.1)):
        found = [line[f"learning_rate/{group}"] for line in trained]
        assert found == pytest.approx([peak * f for f in factors], abs=1e-8)
    assert all(line["grad_norm"] > 0 for line in trained)
    # The first step compiles: its speed means nothing.
    speeds = ("chips_per_second", "step_ms", "waiting")
    assert [name for name in speeds if name in trained[0]] == []
    for line in trained[1:]:
        assert line["chips_per_second"] * line["step_ms"] == pytest.approx(2 * 1000)
        assert 0 <= line["waiting"] < 1
    expected = {k: v for line in lines[-2:] for k, v in line.items() if k != "step"}
    assert last == expected
    events = b"".join(p.read_bytes() for p in (workdir / "tensorboard").iterdir())
    for name in last:
        assert name.encode() in events


def test_a_finished_run_is_left_as_it_is_and_says_what_it_said(whole):
    workdir, last = whole
    before = (workdir / "metrics.jsonl").read_bytes(), small_runs.saved(workdir, 5)
    assert train(workdir) == last
    assert (workdir / "metrics.jsonl").read_bytes() == before[0]
    small_runs.assert_equal(small_runs.saved(workdir, 5), before[1])


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGHUP])
def test_a_signal_saves_and_the_next_run_ends_where_an_uninterrupted_one_does(
    whole, tmp_path, monkeypatch, number
):
    write = metric_log.MetricLog.write

    def interrupted(self, step, scalars):
        write(self, step, scalars)
        if step == 1:
            signal.raise_signal(number)

    before = signal.getsignal(number)
    with monkeypatch.context() as patch:
        patch.setattr(metric_log.MetricLog, "write", interrupted)
        name = signal.Signals(number).name
        with pytest.raises(stopping.Stopped, match=f"by {name} after step 2, .*{tmp_path}") as stop:
            train(tmp_path)
    assert stop.value.exit_code == 128 + number
    assert signal.getsignal(number) == before
    # The signal came when step 1 was logged.
    assert checkpoints.load(tmp_path).step == 2
    last = train(tmp_path)
    assert last["loss"] == whole[1]["loss"]
    small_runs.assert_equal(small_runs.saved(tmp_path, 5), small_runs.saved(whole[0], 5))
    assert small_runs.records(tmp_path) == small_runs.records(whole[0])


def test_a_signal_during_validation_stops_before_the_next_step(whole, tmp_path, monkeypatch):
    validate = validation.Validation.__call__

    def interrupted(self, state):
        signal.raise_signal(signal.SIGTERM)
        return validate(self, state)

    with monkeypatch.context() as patch:
        patch.setattr(validation.Validation, "__call__", interrupted)
        with pytest.raises(stopping.Stopped, match="by SIGTERM after step 3,"):
            train(tmp_path)
    assert checkpoints.load(tmp_path, "best").step == 3
    train(tmp_path)
    small_runs.assert_equal(small_runs.saved(tmp_path, 5), small_runs.saved(whole[0], 5))


def steps_saved(workdir) -> list[int]:
    return sorted(int(p.name) for p in checkpoints.folder(workdir).iterdir())


def test_every_validation_is_of_a_state_that_is_saved(tmp_path):
    train(tmp_path, checkpoint_every=4, keep=9)
    # The epochs end at steps 3 and 5.
    assert steps_saved(tmp_path) == [3, 4, 5]
    scores = {
        r["step"]: r[checkpoints.SCORE] for r in metric_log.read(tmp_path) if checkpoints.SCORE in r
    }
    assert scores.keys() == {3, 5}
    best = checkpoints.load(tmp_path, "best").step
    assert scores[best] == max(scores.values())


def test_a_checkpoint_that_is_due_is_saved_once(tmp_path):
    # Always due: what was requested before the last checkpoint is answered after it.
    data = small_data.make_dataset([Ground("train", np.zeros((8, 8), np.uint8))] * 2)
    train(tmp_path, data, epochs=11, checkpoint_every=99, checkpoint_minutes=1e-9, keep=99)
    assert steps_saved(tmp_path) == [3, 6, 9, 11]


def test_a_second_signal_acts_at_once(tmp_path, monkeypatch):
    def twice(self, step, scalars):
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGINT)
        pytest.fail("the second signal was only noted")

    monkeypatch.setattr(metric_log.MetricLog, "write", twice)
    with pytest.raises(KeyboardInterrupt):
        train(tmp_path)
    with pytest.raises(ValueError, match="expected a whole checkpoint, found none"):
        checkpoints.load(tmp_path)


def test_a_run_that_was_killed_repeats_what_was_lost(whole, tmp_path, monkeypatch):
    write = metric_log.MetricLog.write

    def killed(self, step, scalars):
        if step == 4:
            raise RuntimeError("killed")
        write(self, step, scalars)

    with monkeypatch.context() as patch:
        patch.setattr(metric_log.MetricLog, "write", killed)
        with pytest.raises(RuntimeError, match="killed"):
            train(tmp_path)
    assert [r["step"] for r in small_runs.records(tmp_path)] == [1, 2, 3, 3]
    with (tmp_path / "metrics.jsonl").open("a") as file:
        file.write('{"step": 4, "lo')  # cut short by the kill
    # The checkpoint is of step 2: step 3 is done again, and its lines are there once.
    train(tmp_path)
    small_runs.assert_equal(small_runs.saved(tmp_path, 5), small_runs.saved(whole[0], 5))
    assert small_runs.records(tmp_path) == small_runs.records(whole[0])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"config": {"epochs": 3, "as_of": ()}}, r"config.epochs: was 2, now 3$"),
        ({"config": {"epochs": 2}}, r"config.as_of: was \[\], now None$"),
        ({"stage": "pretrain"}, r"stage: was 'finetune', now 'pretrain'$"),
        (
            {"recipe": dataclasses.replace(RECIPE, lead_days=60)},
            r"recipe.lead_days: was 30, now 60$",
        ),
    ],
)
def test_a_workdir_of_another_config_is_refused_with_the_difference(whole, changes, message):
    before = small_runs.saved(whole[0], 5)
    with pytest.raises(ValueError, match=f"{whole[0]}: holds a run with other settings.*{message}"):
        train(whole[0], **changes)
    small_runs.assert_equal(small_runs.saved(whole[0], 5), before)


def test_a_loss_that_is_not_finite_stops_the_run_before_it_is_saved(tmp_path, monkeypatch):
    shard, calls = parallel.shard, []

    def poisoned(batch):
        calls.append(batch)
        if len(calls) == 2:
            batch = batch | {"planted": np.full_like(batch["planted"], np.nan)}
        return shard(batch)

    monkeypatch.setattr(parallel, "shard", poisoned)
    # Nothing is logged for a long time, but every step is saved.
    with pytest.raises(
        loop.Diverged, match="step 2: (loss|grad_norm) is nan; .*last good checkpoint: step 1;"
    ):
        train(tmp_path, log_every=100, checkpoint_every=1)
    restored = checkpoints.load(tmp_path)
    assert restored.step == 1
    assert all(np.isfinite(v).all() for v in small_runs.leaves(restored.variables).values())


def test_a_state_that_is_not_finite_is_not_saved():
    class Checkpointer:
        latest = None

        def save(self, *_):
            pytest.fail("saved")

    run = loop._Run(small_runs.make_train_config(), None, Checkpointer(), *[None] * 4)
    state = parallel.replicate({"params": {"s1": np.array([1.0, np.inf])}, "step": np.array(3)})
    message = r"step 3: state\['params'\]\['s1'\] is not finite; .* there is no checkpoint;"
    with pytest.raises(loop.Diverged, match=message):
        run._save(state, 3, None)


@pytest.mark.parametrize(
    ("data", "changes", "message"),
    [
        (DATA, {"batch_size": 11}, "config.batch_size: expected at most 10 .* found 11"),
        (DATA, {"warmup_steps": 5}, "config.warmup_steps: expected 0 to 4, found 5"),
        (DATA, {"class_weights": "equal"}, "config.class_weights: .* found 'equal'"),
        (
            DATA,
            {
                "sampling": SamplingConfig(num_periods=2, crops_per_chip=10**6),
                "batch_size": 1,
                "epochs": 10**6,
            },
            "config.crops_per_chip: .* found 5000000 .*and 5000000000000",
        ),
        (
            DATA,
            {"recipe": small_runs.make_recipe(levels=4)},
            r"small: expected chips of a multiple of 16 pixels .* found 8",
        ),
        (
            small_data.make_dataset(
                [Ground(s, np.zeros((8, 8), np.uint8)) for s in ("train", "validation")],
                harvest=[[19_200] * 3, [0] * 3],
            ),
            {},
            "cube1: found no harvest date for any class",
        ),
        (
            small_data.make_dataset(
                [
                    Ground("train", np.zeros((8, 8), np.uint8)),
                    Ground("validation", np.zeros((8, 8), np.uint8), None, small_data.MONTHS[6:]),
                ]
            ),
            {},
            # The median harvest, 1 August, less 30 days.
            "cube1: as-of 2022-07-02 lies before the end of the first period",
        ),
    ],
)
def test_settings_that_do_not_fit_are_refused_before_anything_is_written(
    tmp_path, data, changes, message
):
    with pytest.raises(ValueError, match=message):
        train(tmp_path / "workdir", data, **changes)
    assert not (tmp_path / "workdir").exists()


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        *((name, 0, "expected a whole number .*found 0") for name in ("keep", "log_every")),
        ("batch_size", 2.0, "from 1 to 65536, found 2.0"),
        ("epochs", -1, "expected a whole number from 0 to .* found -1"),
        ("epochs", "ten", "found 'ten'"),
        ("seed", -1, "from 0 to .* found -1"),
        ("checkpoint_every", -1, "of at least 0, found -1"),
        ("checkpoint_minutes", float("nan"), "found nan"),
        ("optimizer", "adma", "expected one of adam, adamw, sgd, found 'adma'"),
        ("remat", "yes", "expected one of True, False, found 'yes'"),
    ],
)
def test_a_setting_of_another_type_or_range_is_refused(name, value, message):
    with pytest.raises(ValueError, match=f"^config.{name}: .*{message}"):
        small_runs.make_train_config(**{name: value})


@pytest.mark.parametrize("value", [-0.1, 0, float("nan"), float("inf"), "0.1"])
def test_a_learning_rate_is_finite_and_above_zero(value):
    rates = {"trunk": 0.1, "head": value}
    with pytest.raises(ValueError, match="^config.learning_rate.head: expected a number above 0"):
        small_runs.make_train_config(learning_rates=rates)


def test_only_a_trunk_that_came_from_elsewhere_may_have_the_rate_zero():
    rates = {"trunk": 0, "head": 0.1}
    assert small_runs.make_train_config(learning_rates=rates).learning_rates == rates
    with pytest.raises(ValueError, match="^config.learning_rate.trunk: expected a number above 0"):
        small_runs.make_train_config(stage="pretrain", learning_rates=rates)


def test_a_workdir_is_of_one_run_at_a_time(tmp_path):
    with files.Lock(tmp_path, "--workdir"):
        with pytest.raises(ValueError, match=f"--workdir {tmp_path}: in use by .*process"):
            train(tmp_path)
        assert [p.name for p in tmp_path.iterdir()] == [files.Lock.NAME]
    # And a run gives it back, however it ends.
    with pytest.raises(ValueError, match="config.warmup_steps"):
        train(tmp_path, warmup_steps=5)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["metrics.jsonl", "checkpoints", "tensorboard", "profile"])
def test_what_no_run_wrote_is_left_as_it_is(tmp_path, name):
    if name == "metrics.jsonl":
        (tmp_path / name).write_text('{"loss": 1}\n')
    else:
        (tmp_path / name / "5").mkdir(parents=True)
    with pytest.raises(
        ValueError, match=f"--workdir {tmp_path}: found {name}, which train did not"
    ):
        train(tmp_path)
    assert [p.name for p in tmp_path.iterdir()] == [name]


def test_a_checkpoint_says_what_it_and_the_runs_before_it_have_learnt_from(tmp_path):
    before = {"id": "old", "split": "train", "stage": "pretrain"}
    loop.train(
        DATA,
        RECIPE,
        small_runs.make_train_config(epochs=1, checkpoint_every=1),
        VARIABLES,
        tmp_path,
        ancestors=[before],
    )
    own = json.loads(json.dumps(DATA.ground))
    assert list(checkpoints.load(tmp_path).cubes) == [*own, before]
    # A run that is resumed does not repeat the note.
    shutil.rmtree(checkpoints.folder(tmp_path) / "2")
    train(tmp_path, epochs=1, checkpoint_every=1)
    restored = checkpoints.load(tmp_path)
    assert restored.step == 2 and list(restored.cubes) == [*own, before]


def test_balanced_class_weights_come_from_the_training_pixels():
    label = np.full((8, 8), IGNORE, np.uint8)
    label[0, :4], label[1, :1], label[2] = 0, 1, 254
    data = small_data.make_dataset([Ground("train", label), Ground("test", 0 * label)])
    # 4 and 1 pixels, mean 2.5; no oats; none of these is no class.
    found = small_runs.make_train_config(class_weights="balanced").weights(data)
    np.testing.assert_allclose(found, [(2.5 / 4) ** 0.5, 2.5**0.5, 1], rtol=1e-6)
    assert small_runs.make_train_config().weights(data) is None


# Validation.


def scores(data, batch_size: int, recipe=RECIPE) -> dict:
    scored = validation.Validation(data, recipe, SamplingConfig(num_periods=2), batch_size)
    return scored(parallel.replicate(VARIABLES))


def test_an_uneven_last_batch_counts_every_chip_once():
    # Three chips: batches of 2 + 1, and of 1 + 1 + 1.
    one, two = scores(DATA, 1), scores(DATA, 2)
    assert one["validation/macro_f1"] == two["validation/macro_f1"] > 0
    assert one["validation/loss"] == pytest.approx(two["validation/loss"], rel=1e-6)
    # And it is not the loss of the chips of the full batch alone.
    part = dataclasses.replace(DATA.chips["validation"])
    values = [getattr(part, field.name) for field in dataclasses.fields(part)]
    part = type(part)(*(value if value is None else value[:2] for value in values))
    fewer = dataclasses.replace(DATA, chips=DATA.chips | {"validation": part})
    assert scores(fewer, 2)["validation/loss"] != pytest.approx(one["validation/loss"], rel=1e-4)


def test_validation_scores_by_hand(monkeypatch):
    label = np.full((8, 8), IGNORE, np.uint8)
    label[0, :6] = [0, 0, 1, 1, 254, 254]
    grounds = [Ground(s, label) for s in ("train", "validation")]
    # Oats are planted after the median harvest less 30 days, 2 July, and count nowhere.
    data = small_data.make_dataset(grounds, planting=(0, 0, day("2022-07-03")))

    class Network:
        """Sees class 0 on pixels 0, 2 and 4 of the first row, class 1 on 2 and 3, oats always."""

        def apply(self, variables, pixels, *_, train):
            logits = np.full((1, 8, 8, 3), -1.0, np.float32)
            logits[0, 0, [0, 2, 4], 0] = logits[0, 0, [2, 3], 1] = 1
            logits[..., 2] = 1
            return logits + 0 * pixels["s1"][:, -1, ..., :1]

    monkeypatch.setattr(type(RECIPE), "network", lambda self: Network())
    found = scores(data, 1)
    # Class 0: one hit, one miss, two false alarms (a pixel of class 1, one of none): 2 / (2 + 3).
    # Class 1: two hits and nothing wrong: 1. Oats: no pixel, so no part of the mean.
    assert found["validation/macro_f1"] == pytest.approx((0.4 + 1) / 2)
    # Six pixels and two classes: 12 values with logits of 1 or -1. Three are wrong, all of class 0;
    # a wrong one costs log(1 + e), which is 1 more than log(1 + 1/e).
    right = np.log1p(np.exp(-1))
    assert found["validation/loss"] == pytest.approx((12 * right + 3) / 12, rel=1e-6)


class Always:
    """Sees class 0 everywhere, the others nowhere."""

    def apply(self, variables, pixels, *_, train):
        return np.float32([1, -1, -1]) + 0 * pixels["s1"][:, -1, ..., :1]


@pytest.mark.parametrize(
    ("classes", "f1"),
    [
        ([0, 0], None),  # 1 whatever the network predicts: no score, and so no best checkpoint
        ([0, 1], (2 / 3 + 0) / 2),  # a hit and a false alarm; a miss
        ([0, 254], 2 / 3),  # none of these is a negative
        ([254, 254], None),
    ],
)
def test_a_class_without_negatives_or_positives_has_no_part_in_macro_f1(monkeypatch, classes, f1):
    label = np.full((8, 8), IGNORE, np.uint8)
    label[0, : len(classes)] = classes
    data = small_data.make_dataset([Ground(s, label) for s in ("train", "validation")])
    monkeypatch.setattr(type(RECIPE), "network", lambda self: Always())
    found = scores(data, 1)
    assert found.get("validation/macro_f1") == (f1 and pytest.approx(f1))
    assert found["validation/loss"] > 0


def test_ground_that_no_sensor_has_seen_has_no_part_in_validation(monkeypatch):
    label = np.full((8, 8), IGNORE, np.uint8)
    label[0, :4] = [0, 254, 254, 254]
    seen = np.zeros((1, 1, 8, 8, 1), np.int16)
    seen[..., 0, 2:, :] = -32768
    batch = {
        "pixels": {
            "s1": np.broadcast_to(seen, (1, 6, 8, 8, 2)),
            "s2": np.broadcast_to(seen, (1, 6, 8, 8, 10)),
        },
        "day_of_year": np.ones((1, 6), np.int32),
        "label": label[None],
        "planted": np.ones((1, 3), np.float32),
    }
    monkeypatch.setattr(type(RECIPE), "network", lambda self: Always())
    monkeypatch.setattr(steps, "total", lambda sums: sums)
    found = steps.make_validation_step(RECIPE)({}, batch)
    assert found["weight"] == 2 * 3  # two of the four known pixels, and three classes
    assert [int(found[k][0]) for k in ("hits", "false_alarms", "negatives")] == [1, 1, 1]


def test_without_annotated_validation_chips_there_is_no_score():
    unknown = np.full((8, 8), IGNORE, np.uint8)
    for split in ("test", "validation"):
        grounds = [Ground("train", np.zeros((8, 8), np.uint8)), Ground(split, unknown)]
        assert scores(small_data.make_dataset(grounds), 1) == {}


def test_the_step_of_validation_takes_the_last_date_of_a_range():
    data = small_data.make_dataset([Ground("validation", np.zeros((8, 8), np.uint8))])
    config = SamplingConfig(num_periods=2, as_of=(day("2022-03-01"), day("2022-06-01")))
    (batch,) = validation_batches(data, config, 1)
    assert batch["pixels"]["s1"][0, :, 0, 0, small_data.PERIOD].tolist() == [3, 4]  # April and May
    (batch,) = validation_batches(data, SamplingConfig(num_periods=2), 1)
    # The median of 1 July, 1 August and 1 September less 30 days: May and June have ended.
    assert batch["pixels"]["s1"][0, :, 0, 0, small_data.PERIOD].tolist() == [4, 5]
    assert batch["lead"].tolist() == [31]


def validation_batches(data, config, *sizes) -> list[dict]:
    """What the steps of a validation are given, on the host."""
    scored = validation.Validation(data, RECIPE, config, *sizes)
    return [jax.tree.map(parallel.unshard, batch) for batch in scored._batches]


def test_of_sampled_pixels_validation_takes_as_many_pixels_as_training_reads():
    label = np.zeros((8, 8), np.uint8)
    data = small_data.make_dataset([Ground("validation", np.concatenate([label] * 4))])
    for context, batch, chips in ((1, 16, 2), (0, 64, 1), (0, 16, 1)):  # chips of 8 x 8 pixels
        config = SamplingConfig(num_periods=2, unit="pixels", context=context)
        found = validation_batches(data, config, batch)
        assert [len(one["label"]) for one in found] == [chips] * (4 // chips), (context, batch)


@pytest.mark.parametrize("count", [1, 2, 4])
def test_each_process_validates_its_chips_and_as_many_batches_as_any_other(count, monkeypatch):
    # Seven chips of three cubes, one of them unknown: six that count.
    unknown = np.full((8, 8), IGNORE, np.uint8)
    labels = np.random.default_rng(0).choice(np.array([0, 1, 2, 254, IGNORE], np.uint8), (6, 8, 8))
    grounds = [np.concatenate(labels[:3]), unknown, np.concatenate(labels[3:])]
    data = small_data.make_dataset([Ground("validation", label) for label in grounds])
    config, records = SamplingConfig(num_periods=2), data.records["validation"]
    expected = [
        input_pipeline.make_example(data, records[i], HARVEST[1] - 30, 2, HARVEST[1])
        for i in (0, 1, 2, 4, 5, 6)
    ]
    monkeypatch.setattr(parallel, "process_count", lambda: count)
    for index in range(count):
        monkeypatch.setattr(parallel, "process_index", lambda index=index: index)
        batches = validation_batches(data, config, 4)
        size = 4 // count
        assert [len(batch["label"]) for batch in batches] == [size, size]
        joined = jax.tree.map(lambda *parts: np.concatenate(parts), *batches)
        own = [e for i, e in enumerate(expected) if i % 4 // size == index]
        mine = jax.tree.map(lambda *leaves: np.stack(leaves), *own)
        known = len(own)
        assert (joined["label"][known:] == IGNORE).all()
        a, b = small_runs.leaves(joined), small_runs.leaves(mine)
        assert a.keys() == b.keys()
        for key, values in b.items():
            assert a[key].dtype == values.dtype
            np.testing.assert_array_equal(a[key][:known], values, err_msg=key)


@pytest.mark.parametrize(
    ("crop", "accumulate", "sizes"),
    [
        (None, 1, [4, 4]),
        (None, 2, [2, 2, 2]),
        (4, 1, [1] * 5),  # four crops of 4 x 4 are as many pixels as a chip
        (6, 1, [2, 2, 2]),  # 4 x 36 / 64 = 2.25 chips
        (2, 4, [1] * 5),  # not even one
    ],
)
def test_a_step_of_validation_takes_no_more_pixels_than_one_of_training(crop, accumulate, sizes):
    data = small_data.make_dataset([Ground("validation", np.zeros((8, 8), np.uint8))] * 5)
    batches = validation_batches(data, SamplingConfig(num_periods=2, crop=crop), 4, accumulate)
    assert [len(batch["label"]) for batch in batches] == sizes
    assert sum((batch["label"] != IGNORE).sum() for batch in batches) == 5 * 64


def test_validation_opens_its_records_once_and_reads_windows_only(monkeypatch):
    open_source, opened = type(DATA).source, []

    class Windows:
        """Records of which only windows can be read."""

        def __init__(self, source):
            self.read_window = source.read_window

    def source(self, split):
        opened.append(split)
        return Windows(open_source(self, split))

    expected = scores(DATA, 2)
    monkeypatch.setattr(type(DATA), "source", source)
    scored = validation.Validation(DATA, RECIPE, SamplingConfig(num_periods=2), 2)
    before = set(threading.enumerate())
    for _ in range(3):
        assert scored(parallel.replicate(VARIABLES)) == expected
    assert opened == ["validation"]
    # A thread that was stopped may take a moment longer than the one that stopped it.
    left = set(threading.enumerate()) - before
    for thread in left:
        thread.join(10)
    assert not [thread.name for thread in left if thread.is_alive()]


def test_a_moved_dataset_is_the_same_and_a_rebuilt_one_is_not():
    found = {"config": {"data_dir": "here", "seed": 0}, "dataset": "a1"}
    train_config.check_same_config(
        found, {"config": {"data_dir": "there", "seed": 0}, "dataset": "a1"}, "w"
    )
    rebuilt = {"config": {"data_dir": "here", "seed": 0}, "dataset": "b2"}
    with pytest.raises(ValueError, match="dataset: was 'a1', now 'b2'"):
        train_config.check_same_config(found, rebuilt, "w")
