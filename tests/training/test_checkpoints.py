"""What is kept, what a head swap keeps, and what a damaged checkpoint says."""

import copy
import dataclasses
import json
import re
import shutil
import types

import numpy as np
import orbax.checkpoint as ocp
import pytest
from training import small_runs

from cropmap_jax.geo.legend import Legend, make_class
from cropmap_jax.training import checkpoints, head_swap, steps

RECIPE = small_runs.make_recipe()
OTHER = small_runs.make_recipe(head="linear", classes=Legend("one", (make_class(0, 0, "beet"),)))
CONFIG = {"data_dir": "somewhere", "rates": [1.0, 2.0]}
META = {"recipe": RECIPE.to_json(), "config": CONFIG, "stage": "pretrain"}


def state_of(recipe=RECIPE, seed: int = 0) -> dict:
    return steps.init_variables(recipe, seed) | {"opt_state": ({"mu": np.ones(3)},)}


def save(workdir, steps_done=(1,), **settings) -> dict:
    """Saves a state per step; returns the last state."""
    checkpointer = checkpoints.Checkpointer(workdir, META, **settings)
    for step in steps_done:
        checkpointer.save(step, state_of(seed=step))
    checkpointer.close()
    return state_of(seed=steps_done[-1])


@pytest.fixture(scope="module")
def workdir(tmp_path_factory):
    folder = tmp_path_factory.mktemp("checkpoints")
    save(folder, (1, 2, 3))
    return folder


def test_load_gives_back_what_was_saved_last(workdir):
    restored = checkpoints.load(workdir)
    expected = steps.init_variables(RECIPE, 3)
    small_runs.assert_equal(small_runs.leaves(restored.variables), small_runs.leaves(expected))
    assert (restored.step, restored.stage, restored.config) == (3, "pretrain", CONFIG)
    assert restored.recipe == RECIPE


def test_a_network_without_statistics_comes_back_and_can_swap_its_head(tmp_path):
    recipe = small_runs.make_recipe(norm="group")
    variables = steps.init_variables(recipe, 1)
    assert variables["batch_stats"] == {}
    meta = {"recipe": recipe.to_json(), "config": {}, "stage": "pretrain"}
    checkpointer = checkpoints.Checkpointer(tmp_path, meta)
    checkpointer.save(1, variables)
    checkpointer.close()
    restored = checkpoints.load(tmp_path)
    assert restored.batch_stats == {}
    small_runs.assert_equal(
        small_runs.leaves(restored.params), small_runs.leaves(variables["params"])
    )
    fresh = steps.init_variables(small_runs.make_recipe(norm="group", head="linear"), 2)
    joined, dropped = head_swap.swap_head(restored.variables, fresh)
    assert joined["batch_stats"] == {} and len(dropped) == 6


def test_a_run_has_begun_once_it_has_saved(workdir, tmp_path):
    assert checkpoints.begun(workdir) == (RECIPE, CONFIG)
    assert checkpoints.begun(tmp_path / "none") is None
    checkpoints.folder(tmp_path).mkdir()
    assert checkpoints.begun(tmp_path) is None
    assert list(checkpoints.folder(tmp_path).iterdir()) == []
    shutil.copytree(checkpoints.folder(workdir) / "3", checkpoints.folder(tmp_path) / "3")
    (checkpoints.folder(tmp_path) / "3" / "meta" / "metadata").write_text("{")
    with pytest.raises(ValueError, match=f"^{tmp_path}/checkpoints/3: expected a whole checkpoint"):
        checkpoints.begun(tmp_path)


def test_restore_gives_back_the_state(workdir):
    checkpointer = checkpoints.Checkpointer(workdir, {})
    step, state = checkpointer.restore(state_of(seed=9))
    assert checkpointer.meta()["config"] == CONFIG
    checkpointer.close()
    assert step == checkpointer.latest == 3
    small_runs.assert_equal(small_runs.leaves(state), small_runs.leaves(state_of(seed=3)))


def test_only_the_last_ones_are_kept(workdir, tmp_path):
    assert sorted(p.name for p in checkpoints.folder(workdir).iterdir()) == ["2", "3"]
    save(tmp_path, (1, 2, 3, 4), keep=3)
    assert sorted(p.name for p in checkpoints.folder(tmp_path).iterdir()) == ["2", "3", "4"]


def test_the_best_is_kept_next_to_the_last_and_can_be_requested(tmp_path):
    checkpointer = checkpoints.Checkpointer(tmp_path, META, keep=2)
    # Step 3 was not validated; steps 2 and 4 are equally good, and the later one counts.
    for step, f1 in ((1, 0.1), (2, 0.5), (3, None), (4, 0.5), (5, 0.4), (6, 0.3), (7, 0.2)):
        scores = None if f1 is None else {"validation/macro_f1": f1, "validation/loss": 1.0}
        checkpointer.save(step, state_of(seed=step), scores)
    checkpointer.close()
    kept = sorted(p.name for p in checkpoints.folder(tmp_path).iterdir())
    assert kept == ["4", "6", "7"]
    for which, step in (("last", 7), ("best", 4), ("6", 6)):
        restored = checkpoints.load(tmp_path, which)
        assert restored.step == step
        expected = steps.init_variables(RECIPE, step)
        small_runs.assert_equal(small_runs.leaves(restored.variables), small_runs.leaves(expected))
    for which in ("5", "worst", "-1"):
        message = f"expected checkpoint 'last', 'best' or one of 4, 6, 7, found '{which}'"
        with pytest.raises(ValueError, match=message):
            checkpoints.load(tmp_path, which)


def test_the_best_of_checkpoints_without_scores_is_not_guessed(workdir):
    with pytest.raises(ValueError, match="a score for 'best', found none.*'last' or one of 2, 3"):
        checkpoints.load(workdir, "best")


def test_a_step_that_is_saved_already_is_not_saved_again(tmp_path):
    save(tmp_path, (1,))
    before = small_runs.saved(tmp_path, 1)
    meta = {"recipe": RECIPE.to_json(), "config": {}, "stage": "pretrain"}
    checkpointer = checkpoints.Checkpointer(tmp_path, meta)
    checkpointer.save(1, state_of(seed=5))
    checkpointer.close()
    small_runs.assert_equal(small_runs.saved(tmp_path, 1), before)


def test_a_workdir_without_a_checkpoint_says_so(tmp_path):
    with pytest.raises(ValueError, match=f"{tmp_path}: expected a run's workdir with checkpoints/"):
        checkpoints.load(tmp_path)
    checkpoints.folder(tmp_path).mkdir()
    with pytest.raises(ValueError, match="checkpoints: expected a whole checkpoint, found none"):
        checkpoints.load(tmp_path)


def _cut(file):
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])


# Orbax leaves a thread behind when it cannot read an array.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize(
    "damage",
    [
        lambda step: (step / "meta" / "metadata").unlink(),
        lambda step: _cut(step / "meta" / "metadata"),
        lambda step: _cut(step / "state" / "_METADATA"),
        lambda step: (step / "state" / "manifest.ocdbt").unlink(),
        lambda step: [_cut(f) for f in (step / "state").rglob("d/*")],
        lambda step: shutil.rmtree(step / "state"),
    ],
    ids=["no meta", "cut meta", "cut metadata", "no manifest", "cut values", "no state"],
)
def test_a_damaged_checkpoint_is_one_line_that_names_it(workdir, tmp_path, damage):
    copied = tmp_path / "copy"
    shutil.copytree(workdir, copied)
    damage(checkpoints.folder(copied) / "3")
    message = f"^{copied}/checkpoints/3: expected a whole checkpoint, found one that cannot be read"
    with pytest.raises(ValueError, match=message) as raised:
        checkpoints.load(copied)
    assert "\n" not in str(raised.value)
    # And resuming the run says the same.
    checkpointer = checkpoints.Checkpointer(copied, {})
    with pytest.raises(ValueError, match=message):
        checkpointer.meta()
        checkpointer.restore(state_of())
    checkpointer.close()
    # Without it, the checkpoint before counts.
    shutil.rmtree(checkpoints.folder(copied) / "3")
    assert checkpoints.load(copied).step == 2


def _meta_file(workdir, step: int = 3):
    return checkpoints.folder(workdir) / str(step) / "meta" / "metadata"


def _change_array(workdir, change):
    """Writes the arrays of the last checkpoint again, changed, as a disk might give them back."""
    state = checkpoints.folder(workdir) / "3" / "state"
    tree = ocp.PyTreeCheckpointer().restore(state)
    change(tree)
    shutil.rmtree(state)
    ocp.PyTreeCheckpointer().save(state, tree)


def _flip_weight(tree):
    tree["params"]["s1"]["conv3d"]["conv"]["kernel"].view(np.uint32)[0, 0, 0, 0, 0] ^= 1


def _flip_moment(tree):
    tree["opt_state"][0]["mu"][1] += 1e-9


def test_one_flipped_bit_of_a_weight_is_found_whoever_reads(workdir, tmp_path):
    shutil.copytree(workdir, tmp_path / "copy")
    _change_array(tmp_path / "copy", _flip_weight)
    message = "checkpoints/3: expected a whole checkpoint.*params: expected SHA-256 .*, found"
    with pytest.raises(ValueError, match=message):
        checkpoints.load(tmp_path / "copy")
    with checkpoints.Checkpointer(tmp_path / "copy", {}) as checkpointer:
        with pytest.raises(ValueError, match=message):
            checkpointer.restore(state_of())


def test_a_changed_moment_of_the_optimiser_is_found_when_the_run_is_resumed(workdir, tmp_path):
    shutil.copytree(workdir, tmp_path / "copy")
    _change_array(tmp_path / "copy", _flip_moment)
    assert checkpoints.load(tmp_path / "copy").step == 3  # it has no part in what is predicted
    with checkpoints.Checkpointer(tmp_path / "copy", {}) as checkpointer:
        with pytest.raises(ValueError, match="opt_state: expected SHA-256 .*, found"):
            checkpointer.restore(state_of())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        # Values that are as good as the right ones, and a recipe that is not.
        (lambda m: m["recipe"].update(lead_days=31), "meta: expected SHA-256"),
        (lambda m: m["config"].update(rates=[1.0, 2.5]), "meta: expected SHA-256"),
        (lambda m: m.update(dataset="b2"), "meta: expected SHA-256"),
        (lambda m: m["sha256"].update(params="0" * 64), "meta: expected SHA-256"),
        (lambda m: m.update(step=2), "meta.step: expected 3, found 2"),
        (lambda m: m.update(config=None), "meta.config: expected a dict, found None"),
        (lambda m: m.update(stage="train"), "meta.stage: .* found 'train'"),
        (lambda m: m["recipe"]["model"].update(levels=10**9), "recipe.model.levels: .*0 to 8"),
    ],
)
def test_meta_data_that_were_changed_are_refused(workdir, tmp_path, change, message):
    shutil.copytree(workdir, tmp_path / "copy")
    meta = json.loads(_meta_file(tmp_path / "copy").read_text())
    change(meta)
    _meta_file(tmp_path / "copy").write_text(json.dumps(meta))
    for read in (checkpoints.load, checkpoints.begun):
        with pytest.raises(ValueError, match=f"checkpoints/3: expected a whole .*{message}"):
            read(tmp_path / "copy")


def test_a_checkpoint_of_an_earlier_version_says_so(workdir, tmp_path):
    shutil.copytree(workdir, tmp_path / "copy")
    meta = json.loads(_meta_file(tmp_path / "copy").read_text())
    for name in ("sha256", "scores", "step", "cubes"):
        del meta[name]
    _meta_file(tmp_path / "copy").write_text(json.dumps(meta))
    for read in (checkpoints.load, checkpoints.begun):
        with pytest.raises(checkpoints.Earlier, match="/3: .* an earlier version without; train"):
            read(tmp_path / "copy")


def test_a_full_disk_is_one_line_and_leaves_what_was_whole(tmp_path, monkeypatch):
    checkpointer = checkpoints.Checkpointer(tmp_path, META)
    checkpointer.save(1, state_of())
    checkpointer._manager.wait_until_finished()
    full = types.SimpleNamespace(free=1000)
    with monkeypatch.context() as patch:
        patch.setattr(shutil, "disk_usage", lambda _: full)
        message = (
            f"^{tmp_path}/checkpoints: checkpoint 2 could not be .*whole checkpoints: steps 1; free"
        )
        with pytest.raises(OSError, match=message) as raised:
            checkpointer.save(2, state_of())
    assert "\n" not in str(raised.value)
    checkpointer.close()  # says no more of it
    assert [p.name for p in checkpoints.folder(tmp_path).iterdir()] == ["1"]
    assert checkpoints.load(tmp_path).step == 1


def test_a_write_that_fails_in_the_background_is_one_line_too(tmp_path, monkeypatch):
    checkpointer = checkpoints.Checkpointer(tmp_path, META)
    error = ValueError("RESOURCE_EXHAUSTED: Error writing\nin many lines")

    def fail(*_, **__):
        raise error

    unfinished = checkpoints.folder(tmp_path) / "4.orbax-checkpoint-tmp"
    unfinished.mkdir()
    monkeypatch.setattr(checkpointer._manager, "wait_until_finished", fail)
    with pytest.raises(OSError, match=r"be written \(no space left\); there is no earlier one"):
        checkpointer.save(5, state_of())
    checkpointer.close()
    assert not unfinished.exists()


def test_ancestors_are_the_ground_that_was_learnt_from():
    cubes = tuple({"id": s, "split": s} for s in ("train", "validation", "test"))
    older = {"id": "old", "split": "train", "stage": "older"}
    restored = checkpoints.Restored({}, {}, RECIPE, {}, 1, "pretrain", "a1", (*cubes, older))
    assert checkpoints.ancestors(restored) == [
        {"id": "train", "split": "train", "stage": "pretrain"},
        {"id": "validation", "split": "validation", "stage": "pretrain"},
        older,
    ]


def test_the_last_digits_of_the_size_of_pixels_do_not_count():
    ten, also = (dataclasses.replace(RECIPE, pixel_m=m) for m in (10.0, 10.000001))
    head_swap.check_trunk(ten, also, "W")
    with pytest.raises(ValueError, match="expected 10.0, found 10.0001"):
        head_swap.check_trunk(ten, dataclasses.replace(RECIPE, pixel_m=10.0001), "W")


def test_fine_tuning_keeps_to_the_size_of_pixels():
    ten, sixty = (dataclasses.replace(RECIPE, pixel_m=m) for m in (10.0, 60.0))
    for before, after in ((ten, ten), (ten, RECIPE), (RECIPE, sixty)):
        head_swap.check_trunk(before, after, "W")
    with pytest.raises(ValueError, match="pixels in metres: expected 10.0, found 60.0 .*in W"):
        head_swap.check_trunk(ten, sixty, "W")


# Head swap.


def test_a_head_swap_keeps_every_trunk_value_and_takes_the_new_head():
    old, new = steps.init_variables(RECIPE, 1), steps.init_variables(OTHER, 2)
    joined, dropped = head_swap.swap_head(old, new)
    for kind in ("params", "batch_stats"):
        for sensor in ("s1", "s2"):
            small_runs.assert_equal(
                small_runs.leaves(joined[kind][sensor]), small_runs.leaves(old[kind][sensor])
            )
    small_runs.assert_equal(
        small_runs.leaves(joined["params"]["head"]), small_runs.leaves(new["params"]["head"])
    )
    assert "head" not in joined["batch_stats"]  # a linear head has no statistics
    # Trunk of 2 + 2 channels, 3 x 3 to 2 hidden ones, 1 x 1 to 3 classes.
    assert dropped == [
        "params/head/hidden/conv/bias [2]",
        "params/head/hidden/conv/kernel [3, 3, 8, 2]",
        "params/head/hidden/norm/bias [2]",
        "params/head/hidden/norm/scale [2]",
        "params/head/logits/bias [3]",
        "params/head/logits/kernel [1, 1, 2, 3]",
        "batch_stats/head/hidden/norm/mean [2]",
        "batch_stats/head/hidden/norm/var [2]",
    ]


def test_a_head_swap_leaves_its_arguments_alone():
    old, new = steps.init_variables(RECIPE, 1), steps.init_variables(OTHER, 2)
    before = copy.deepcopy((old, new))
    head_swap.swap_head(old, new)
    small_runs.assert_equal(small_runs.leaves((old, new)), small_runs.leaves(before))


def _reshape(tree):
    tree["params"]["s1"]["conv3d"]["conv"]["kernel"] = np.zeros((3, 3, 3, 4, 5))


def _rename(tree):
    tree["params"]["s2"]["conv_3d"] = tree["params"]["s2"].pop("conv3d")


def _drop(tree):
    del tree["batch_stats"]["s1"]["time_conv"]["norm"]["mean"]


def _add(tree):
    tree["params"]["s3"] = {"kernel": np.zeros(1)}


@pytest.mark.parametrize("side", [0, 1], ids=["pretrained", "fresh"])
@pytest.mark.parametrize(
    ("change", "message"),
    [
        (_reshape, "params of the trunk: expected ['s1']['conv3d']['conv']['kernel'] of shape"),
        (_rename, "params of the trunk: expected ['s2']['conv3d']['conv']['bias'] of shape"),
        (_drop, "batch_stats of the trunk: expected ['s1']['time_conv']['norm']['mean'] of shape"),
        (_add, "params of the trunk: expected ['s3']['kernel'] of shape"),
    ],
)
def test_a_head_swap_fails_on_a_trunk_that_differs(change, message, side):
    trees = steps.init_variables(RECIPE, 1), steps.init_variables(RECIPE, 2)
    change(trees[side])
    with pytest.raises(ValueError, match=re.escape(f"head swap, {message}")):
        head_swap.swap_head(*trees)


def test_check_trunk_names_every_field_that_differs():
    head = small_runs.make_recipe(head="linear", head_width=9, dtype="bfloat16")
    head_swap.check_trunk(RECIPE, head, "W")  # the head may differ
    wanted = dataclasses.replace(small_runs.make_recipe(width=4, norm="group"), period_kind="dekad")
    with pytest.raises(ValueError) as raised:
        head_swap.check_trunk(RECIPE, wanted, "W")
    assert str(raised.value) == (
        "config.model.width: expected 2, found 4; config.model.norm: expected 'batch', found "
        "'group'; the dataset's periods: expected 'month', found 'dekad' (expected is what the "
        "checkpoint in W was trained with)"
    )


def test_a_trunk_is_of_one_network_on_the_same_sensors():
    s2 = dataclasses.replace(
        RECIPE, sensors=RECIPE.sensors[1:], scaling={"s2": RECIPE.scaling["s2"]}
    )
    message = r"config.sensors: expected \('s1', 's2'\), found \('s2',\) \(expected is"
    with pytest.raises(ValueError, match=message):
        head_swap.check_trunk(RECIPE, s2, "W")
    other = copy.copy(RECIPE)
    object.__setattr__(other, "model", {"name": "other", "num_periods": 9, "dtype": "float32"})
    message = "config.model.name: expected 'dual_unet3d', found 'other' (expected is"
    with pytest.raises(ValueError, match=f"^{re.escape(message)}"):
        head_swap.check_trunk(RECIPE, other, "W")
