"""Fine-tuning, from a config to all that it begins with: what `finetune` and the API share."""

from collections.abc import Sequence
from typing import Any

from ml_collections import ConfigDict

from cropmap_jax.data import dataset
from cropmap_jax.data.dataset import Dataset
from cropmap_jax.geo import crosswalk
from cropmap_jax.geo.legend import Legend
from cropmap_jax.runs import training
from cropmap_jax.runs.training import Prepared, Report
from cropmap_jax.training import checkpoints, head_swap, parallel, steps
from cropmap_jax.training.recipe import Recipe


def check(config: ConfigDict, workdir: str) -> None:
    """As `training.check`, and what of it only fine-tuning has.

    Raises:
      ValueError: names the setting or the flag.
    """
    training.check(config, workdir, "finetune")
    if bool(config.init_from) == config.from_scratch:
        raise ValueError(
            "--config.init_from: expected the workdir of a pretrained network, or "
            f"--config.from_scratch=True; found {config.init_from!r} and {config.from_scratch}"
        )
    if config.get("crosswalk") and config.from_scratch:
        raise ValueError(
            f"--config.crosswalk: expected none with --config.from_scratch=True, since no head was "
            f"pretrained; found {config.crosswalk!r}"
        )
    if config.from_scratch and config.epochs == 0:
        raise ValueError(
            "--config.epochs: expected at least 1 with --config.from_scratch=True, since a network "
            "that is neither pretrained nor trained knows nothing; found 0"
        )


def prepare(config: ConfigDict, workdir: str, report: Report = print) -> Prepared:
    """What `finetune` trains.

    Args:
      config: the run's settings, which `check` allowed.
      workdir: the run's folder.
      report: is given lines for people.

    Raises:
      ValueError: names the setting that cannot be, or what the dataset or the checkpoint lacks.
    """
    data = dataset.open_dataset(config.data_dir, config.dataset, **dataset.view_of(config))
    if config.from_scratch:
        # There is no trunk to spare: it learns as fast as the head, its statistics too.
        config.learning_rate.trunk = config.learning_rate.head
        config.freeze_trunk_statistics = False
        recipe = _make_recipe(config, data, dict(config.get("scratch", {})))
        if config.standardise:
            train_config = training.make_train_config(config, "finetune", recipe)
            recipe = training.standardised(recipe, train_config, data, workdir, report)
        variables = steps.init_variables(recipe, config.seed, data.unseen_bands)
        ancestors: Sequence[dict[str, Any]] = []
    else:
        recipe, variables, ancestors = from_checkpoint(config, data, workdir, report)
    train_config = training.make_train_config(config, "finetune", recipe)
    return Prepared(data, recipe, train_config, variables, ancestors)


def _make_recipe(
    config: ConfigDict, data: Dataset, model: dict[str, Any], trunk: Recipe | None = None
) -> Recipe:
    """The recipe, with what config.model leaves open from `model`; the config then says it too."""
    given = {k: v for k, v in config.model.to_dict().items() if v is not None}
    if given.get("name", model.get("name")) != model.get("name"):
        # Another network: it has arguments of its own.
        model = {k: v for k, v in model.items() if k in ("num_periods", "dtype")}
    recipe = training.make_recipe(config, data, model | given, trunk)
    with config.unlocked():
        config.model.update(recipe.model)
        config.scaling.update(recipe.scaling)
        config.indices = recipe.indices
        if trunk:
            config.standardise = recipe.statistics is not None
    return recipe


def _check_sensors(config: ConfigDict, source: Recipe) -> None:
    """Requires the sensors of the trunk; else its scaling would be refused, which nobody set."""
    names = tuple(sensor.name for sensor in source.sensors)
    found = config.sensors
    if isinstance(found, list | tuple) and tuple(found) != names:
        raise ValueError(
            f"--config.sensors: expected {names!r}, what the checkpoint was trained with, found "
            f"{tuple(found)!r:.200}"
        )


def from_checkpoint(
    config: ConfigDict, data: Dataset, workdir: str, report: Report = print
) -> tuple[Recipe, dict[str, Any], Sequence[dict[str, Any]]]:
    """Recipe, first variables and ancestors of a network with the trunk of config.init_from."""
    own = checkpoints.begun(workdir)
    if own:
        # Its trunk came along, and which step it was of: what is the last one by now does not
        # matter. That nothing else has changed is checked when the run is resumed.
        source, step = own[0], own[1].get("init_step")
    else:
        pretrained = checkpoints.load(config.init_from, config.init_checkpoint)
        source, step = pretrained.recipe, pretrained.step
    _check_sensors(config, source)
    asked = config.standardise, tuple(config.indices)
    wanted = _make_recipe(config, data, source.model, source)
    with config.unlocked():
        config.init_step = step
    fresh = steps.init_variables(wanted, config.seed)
    if own:
        return wanted, fresh, []
    head_swap.check_trunk(source, wanted, config.init_from)
    variables, dropped = head_swap.swap_head(pretrained.variables, fresh)
    if named := config.get("crosswalk"):
        classes = crosswalk.find(named, source.legend, wanted.legend, "--config.crosswalk")
        recipes = (source, wanted)
        variables = head_swap.warm_head(pretrained.variables, variables, recipes, classes)
        if parallel.process_index() == 0:
            report(_starts(classes, source.legend, wanted.legend))
    if parallel.process_index() == 0:
        report(f"trunk from {config.init_from}, step {step}; dropped: {', '.join(dropped)}")
        if asked != (config.standardise, tuple(config.indices)):
            report(
                f"note: inputs are the checkpoint's: config.standardise={config.standardise}, "
                f"config.indices={tuple(config.indices)}"
            )
        kinds = source.backscatter, wanted.backscatter
        if None not in kinds and kinds[0] != kinds[1]:
            report(f"note: radar backscatter is {kinds[1]} here and was {kinds[0]} in pretraining")
    return wanted, variables, checkpoints.ancestors(pretrained)


def _starts(classes: dict[int, int], old: Legend, new: Legend) -> str:
    """Which classes start from which."""
    pairs = [f"{new.names[i]} from {old.names[j]}" for i, j in sorted(classes.items())]
    drawn = [name for i, name in enumerate(new.names) if i not in classes]
    return f"head: {', '.join(pairs)}" + (f"; as drawn: {', '.join(drawn)}" if drawn else "")
