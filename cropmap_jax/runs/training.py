"""From a config to all that training begins with: what `pretrain`, `finetune` and the API share."""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ml_collections import ConfigDict

from cropmap_jax.data import checks, dataset, input_pipeline, pixel_sampling
from cropmap_jax.data.dataset import Dataset
from cropmap_jax.data.sampling import SamplingConfig
from cropmap_jax.geo import files, sensors
from cropmap_jax.runs import opening
from cropmap_jax.training import checkpoints, loop, optim, statistics, steps
from cropmap_jax.training import scaling as scalings
from cropmap_jax.training.recipe import Recipe
from cropmap_jax.training.train_config import TrainConfig
from cropmap_jax.training.unknown import Unknown

Report = Callable[[str], None]
"""Is given lines for people."""


@dataclasses.dataclass(frozen=True)
class Prepared:
    """All that a run begins with, see `training.loop.train`.

    Args:
      data: the dataset.
      recipe: how inputs become probabilities.
      config: how it learns.
      variables: what it begins with.
      ancestors: ground that its trunk was trained on.
    """

    data: Dataset
    recipe: Recipe
    config: TrainConfig
    variables: dict[str, Any]
    ancestors: Sequence[dict[str, Any]] = ()


_SETTINGS = (
    (
        "data_dir",
        "dataset",
        "sensors",
        "seed",
        "lead_days",
        "max_lead_days",
        "as_of",
        "crop",
        "crops_per_chip",
        "empty_ratio",
    )
    + ("augment", "period_dropout", "sensor_dropout", "loss", "class_weights", "epochs")
    + ("batch_size", "accumulate", "remat", "optimizer", "schedule", "warmup_steps")
    + ("freeze_trunk_statistics", "checkpoint_every", "checkpoint_minutes", "log_every", "keep")
    + ("model", "scaling", "learning_rate", "standardise", "indices", "sampling", "draw_by")
    + ("steps_per_epoch", "as_of_jitter", "mixup", "label_smoothing", "weight_decay", "ema")
    + ("weak_share", "weak_weight", "unknown", "dates_of")
)
_OF_FINETUNING = ("init_from", "init_checkpoint", "from_scratch")


def check(config: ConfigDict, workdir: str, stage: str) -> None:
    """Requires all settings of a stage and no others, and folders that lie apart on this machine.

    A config may be anybody's: a setting that it misspells would else be skipped.

    Args:
      config: the run's settings.
      workdir: --workdir.
      stage: "pretrain" or "finetune".

    Raises:
      ValueError: names the setting or the flag.
    """
    finetunes = stage == "finetune"
    optional: tuple[str, ...] = ("fold", "fields_per_class", "fields_draw")
    optional += ("init_step", "scratch", "crosswalk") if finetunes else ()
    checks.keys(
        "--config", config.to_dict(), _SETTINGS + (_OF_FINETUNING if finetunes else ()), optional
    )
    for name in ("data_dir", "dataset") + (("init_from",) if finetunes else ()):
        checks.text(f"--config.{name}", config[name], 10_000)
    for name in ("data_dir", "dataset"):
        if not config[name]:
            raise ValueError(f"--config.{name}: expected a value, found none")
    for name in ("model", "scaling", "learning_rate", "unknown"):
        if not isinstance(config[name], ConfigDict):
            raise ValueError(
                f"--config.{name}: expected settings by name, found {checks.shown(config[name])}"
            )
    checks.whole("--config.seed", config.seed, 0, 2**63 - 1)  # variables are drawn earlier
    if finetunes:
        checks.switch("--config.from_scratch", config.from_scratch)
        checks.text("--config.crosswalk", config.get("crosswalk", ""), 10_000)
        if not isinstance(config.get("scratch", {}), ConfigDict | dict):
            raise ValueError(
                f"--config.scratch: expected settings by name, found {checks.shown(config.scratch)}"
            )
    inputs = {f"--config.{n}": config.get(n, "") for n in ("data_dir", "init_from")}
    check_folders(workdir, inputs, "the checkpoints")


def check_folders(workdir: str, inputs: Mapping[str, str], own: str) -> None:
    """Requires a workdir on this machine, apart from what is read, without runs of another kind.

    Args:
      workdir: --workdir.
      inputs: what is read, by flag; "" for nothing.
      own: what the workdir may hold, see `opening.folders`.

    Raises:
      ValueError: names the flag.
    """
    if not workdir:
        raise ValueError("--workdir: expected a folder, found none")
    if files.local("--workdir", workdir).is_file():
        raise ValueError(f"--workdir {workdir}: expected a folder, found a file")
    for flag, path in inputs.items():
        if path:
            files.local(flag, path)
    files.check_apart({"--workdir": workdir}, inputs)
    opening.check_free(workdir, own)


def make_recipe(
    config: ConfigDict,
    data: Dataset,
    model: dict[str, Any] | None = None,
    trunk: Recipe | None = None,
) -> Recipe:
    """The recipe of a run on `data`.

    Args:
      config: the run's settings.
      data: the dataset.
      model: settings of the network; those of the config if None.
      trunk: recipe of the checkpoint that the trunk comes from: its inputs stay as they are.
    """
    checks.values("--config.sensors", config.sensors)
    checks.values("--config.indices", config.indices)
    checks.switch("--config.standardise", config.standardise)
    found = sensors.find(config.sensors, "--config.sensors", data.sensors)
    scaling = trunk.scaling if trunk else None
    if scaling is None:
        # Configs hold ranges of sensors that a run may leave out.
        known = {sensor.name for sensor in data.sensors} | set(sensors.SENSORS)
        left_out = known - {sensor.name for sensor in found}
        given = {k: v for k, v in config.scaling.to_dict().items() if k not in left_out}
        # A range that the config leaves open is the sensor's own.
        scaling = scalings.default(found) | {k: v for k, v in given.items() if v is not None}
        scalings.check(scaling, found, "--config.scaling")
        scaling = {name: (low, high) for name, (low, high) in scaling.items()}
    return Recipe(
        model=model or config.model.to_dict(),
        legend=data.legend,
        scaling=scaling,
        period_kind=data.period_kind,
        loss=config.loss,
        lead_days=config.lead_days,
        pixel_m=data.pixel_m,
        sensors=found,
        indices=trunk.indices if trunk else tuple(config.indices),
        statistics=trunk.statistics if trunk else None,
        backscatter=data.backscatter if sensors.has_radar(found) else None,
    )


def make_train_config(config: ConfigDict, stage: str, recipe: Recipe) -> TrainConfig:
    """How a run learns."""

    checks.keys("--config.learning_rate", config.learning_rate.to_dict(), optim.GROUPS)
    unknown = Unknown.of(config.unknown.to_dict())
    checks.values("--config.as_of", config.as_of)
    sampling = SamplingConfig(
        num_periods=recipe.num_periods,
        sensors=recipe.sensors,
        lead_days=config.lead_days,
        max_lead_days=config.max_lead_days,
        as_of=input_pipeline.parse_as_of(tuple(config.as_of), "--config.as_of"),
        crop=None if config.crop == 0 else config.crop,
        crops_per_chip=config.crops_per_chip,
        empty_ratio=config.empty_ratio,
        augment=config.augment,
        period_dropout=config.period_dropout,
        sensor_dropout=config.sensor_dropout,
        unit=config.sampling,
        draw_by=config.draw_by,
        steps_per_epoch=config.steps_per_epoch,
        context=recipe.context if config.sampling == "pixels" else None,
        as_of_jitter=config.as_of_jitter,
        mixup=config.mixup,
        weak_share=config.weak_share,
        unknown_share=unknown.share if unknown.used else 0.0,
        dates_of=config.dates_of,
    )
    if sampling.crop and sampling.crop % recipe.size_multiple:
        raise ValueError(
            f"--config.crop: expected a multiple of {recipe.size_multiple} (what the network "
            f"{recipe.model['name']} takes with this config.model), found {sampling.crop}"
        )
    same: tuple[str, ...] = (
        "epochs",
        "batch_size",
        "seed",
        "optimizer",
        "schedule",
        "warmup_steps",
    )
    same += ("class_weights", "freeze_trunk_statistics", "checkpoint_every", "log_every", "keep")
    same += ("accumulate", "remat", "checkpoint_minutes", "weight_decay", "label_smoothing", "ema")
    same += ("weak_weight",)
    return TrainConfig(
        stage=stage,
        sampling=sampling,
        learning_rates=config.learning_rate.to_dict(),
        config=config.to_dict(),
        unknown=unknown,
        **{name: config[name] for name in same},
    )


def standardised(
    recipe: Recipe, train_config: TrainConfig, data: Dataset, workdir: str, report: Report = print
) -> Recipe:
    """The recipe with statistics of the training pixels, or those that the run began with."""

    own = checkpoints.begun(workdir)
    if own:
        return dataclasses.replace(recipe, statistics=own[0].statistics)
    config = train_config.sampling
    made = pixel_sampling.make_pixel_batches(data, "train", config, 1, train_config.seed)
    pixels = made.statistics_pixels(statistics.PIXELS)
    found = statistics.compute(pixels, recipe.sensors, recipe.found_indices)
    for sensor, bands in statistics.missing(found, recipe.sensors).items():
        report(
            f"note: no value of {', '.join(bands)} of {sensor} in the training pixels; these count "
            f"as missing everywhere"
        )
    return dataclasses.replace(recipe, statistics=found)


def prepare_pretraining(config: ConfigDict, workdir: str, report: Report = print) -> Prepared:
    """What `pretrain` trains.

    Args:
      config: the run's settings, which `check` allowed.
      workdir: the run's folder.
      report: is given lines for people.

    Raises:
      ValueError: names the setting that cannot be, or what the dataset lacks for it.
    """
    data = dataset.open_dataset(config.data_dir, config.dataset, **dataset.view_of(config))
    recipe = make_recipe(config, data)
    train_config = make_train_config(config, "pretrain", recipe)
    if config.standardise:
        recipe = standardised(recipe, train_config, data, workdir, report)
    variables = steps.init_variables(recipe, config.seed, data.unseen_bands)
    return Prepared(data, recipe, train_config, variables)


def train(prepared: Prepared, workdir: str, profile: int = 0) -> dict[str, Any]:
    """Trains, or resumes; see `training.loop.train`.

    Args:
      prepared: what the run begins with.
      workdir: the run's folder.
      profile: steps to write a trace of.

    Returns:
      The last record of its metrics.
    """
    return loop.train(
        prepared.data,
        prepared.recipe,
        prepared.config,
        prepared.variables,
        workdir,
        profile,
        prepared.ancestors,
    )
