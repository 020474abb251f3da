"""What a training command requires of its config and folders before it reads anything."""

import pathlib
import runpy

import pytest

from cropmap_jax.runs import training

CONFIGS = pathlib.Path(__file__).resolve().parents[2] / "configs"


def check(tmp_path, stage="finetune", workdir=None, **changes):
    config = runpy.run_path(str(CONFIGS / f"{stage}.py"))["get_config"]()
    config.data_dir = str(tmp_path / "data")
    with config.unlocked(), config.ignore_type():
        for name, value in changes.items():
            if value is None:
                del config[name]
            else:
                config[name] = value
    training.check(config, str(tmp_path / "run") if workdir is None else workdir, stage)


@pytest.mark.parametrize("stage", ["pretrain", "finetune"])
def test_the_configs_have_all_settings_and_no_others(tmp_path, stage):
    check(tmp_path, stage)


def test_a_setting_that_a_config_misspells_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r"^--config.epohcs: .*did you mean --config.epochs\?"):
        check(tmp_path, epohcs=3)
    with pytest.raises(ValueError, match="^--config.epochs: expected a setting, found none"):
        check(tmp_path, epochs=None)
    with pytest.raises(ValueError, match="^--config.init_from: no such setting"):
        check(tmp_path, "pretrain", init_from="W")


@pytest.mark.parametrize(
    ("workdir", "message"),
    [
        ("", "^--workdir: expected a folder, found none"),
        ("gs://bucket/run", "^--workdir 'gs://bucket/run': expected a path on this machine"),
        ("{}/data", "^--workdir .*: is --config.data_dir"),
        ("{}/data/run", "^--workdir .*: lies in --config.data_dir"),
        ("{}", "^--workdir .*: holds --config.data_dir"),
        ("{}/pre", "^--workdir .*: is --config.init_from"),
        ("{}/pre/run", "^--workdir .*: lies in --config.init_from"),
        ("{}/file", "^--workdir .*: expected a folder, found a file"),
    ],
)
def test_a_workdir_is_a_folder_of_its_own_on_this_machine(tmp_path, workdir, message):
    (tmp_path / "file").write_text("")
    with pytest.raises(ValueError, match=message):
        check(tmp_path, workdir=workdir.format(tmp_path), init_from=str(tmp_path / "pre"))


@pytest.mark.parametrize("name", ["data_dir", "init_from"])
def test_a_url_is_no_folder_to_read_from(tmp_path, name):
    with pytest.raises(
        ValueError, match=f"^--config.{name} 's3://bucket': expected a path on this"
    ):
        check(tmp_path, **{name: "s3://bucket"})


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"seed": -1}, "^--config.seed: expected a whole number from 0 to .*, found -1"),
        ({"seed": 2**63}, "^--config.seed: .*, found 9223372036854775808"),
        ({"scratch": 3}, "^--config.scratch: expected settings by name, found 3"),
        ({"scratch": "small"}, "^--config.scratch: expected settings by name, found 'small'"),
    ],
)
def test_what_a_first_network_is_drawn_from_is_checked_before(tmp_path, changes, message):
    with pytest.raises(ValueError, match=message):
        check(tmp_path, **changes)
