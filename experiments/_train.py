"""What `pretrain` and `finetune` share: from a config to recipe, settings and a finished run.

--import my_networks                    a module that registers networks or sensors of one's own
--profile 20                            write a trace of 20 steps
--coordinator HOST:PORT --num_processes 2 --process_id 0
                                        one of two processes that train together
"""

from collections.abc import Sequence

from absl import flags
from ml_collections import ConfigDict

from experiments import _output

_PROFILE = flags.DEFINE_integer(
    "profile", 0, "Steps to write a trace of, into the workdir.", lower_bound=0
)
_COORDINATOR = flags.DEFINE_string(
    "coordinator",
    None,
    "HOST:PORT of process 0, where several processes train together (each run with the same "
    "settings and a workdir that all see); auto: as Slurm, Open MPI or Cloud TPU say.",
)
_NUM_PROCESSES = flags.DEFINE_integer("num_processes", None, "How many there are.", lower_bound=1)
_PROCESS_ID = flags.DEFINE_integer(
    "process_id", None, "Index of this process, from 0.", lower_bound=0
)


def start() -> None:
    """Joins the processes of the run, if there are several; before anything else uses jax."""
    from cropmap_jax.training import parallel

    parallel.start(_COORDINATOR.value, _NUM_PROCESSES.value, _PROCESS_ID.value)


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
    from cropmap_jax import runs
    from cropmap_jax.data import checks
    from cropmap_jax.geo import files

    finetunes = stage == "finetune"
    optional = ("fold", "fields_per_class", "fields_draw")
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
    if not workdir:
        raise ValueError("--workdir: expected a folder, found none")
    if files.local("--workdir", workdir).is_file():
        raise ValueError(f"--workdir {workdir}: expected a folder, found a file")
    inputs = {f"--config.{n}": config.get(n, "") for n in ("data_dir", "init_from")}
    for flag, path in inputs.items():
        if path:
            files.local(flag, path)
    files.check_apart({"--workdir": workdir}, inputs)
    runs.check_free(workdir, "the checkpoints")


def make_recipe(config: ConfigDict, data, model: dict | None = None, trunk=None):
    """The recipe of a run on `data`.

    Args:
      config: the run's settings.
      data: the dataset.
      model: settings of the network; those of the config if None.
      trunk: recipe of the checkpoint that the trunk comes from: its inputs stay as they are.
    """
    from cropmap_jax.data import checks
    from cropmap_jax.geo import sensors
    from cropmap_jax.training import scaling as scalings
    from cropmap_jax.training.recipe import Recipe

    checks.values("--config.sensors", config.sensors)
    checks.values("--config.indices", config.indices)
    checks.switch("--config.standardise", config.standardise)
    found = sensors.find(config.sensors, "--config.sensors", data.sensors)
    scaling = trunk and trunk.scaling
    if scaling is None:
        # Configs hold ranges of sensors that a run may leave out.
        known = {sensor.name for sensor in data.sensors} | set(sensors.SENSORS)
        left_out = known - {sensor.name for sensor in found}
        given = {k: v for k, v in config.scaling.to_dict().items() if k not in left_out}
        # A range that the config leaves open is the sensor's own.
        scaling = scalings.default(found) | {k: v for k, v in given.items() if v is not None}
        scalings.check(scaling, found, "--config.scaling")
        scaling = {name: tuple(both) for name, both in scaling.items()}
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


def make_train_config(config: ConfigDict, stage: str, recipe):
    """How a run learns."""
    from cropmap_jax.data import checks, input_pipeline
    from cropmap_jax.data.sampling import SamplingConfig
    from cropmap_jax.training import optim
    from cropmap_jax.training.train_config import TrainConfig
    from cropmap_jax.training.unknown import Unknown

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
    same = ("epochs", "batch_size", "seed", "optimizer", "schedule", "warmup_steps")
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


def standardised(recipe, train_config, data, workdir: str):
    """The recipe with statistics of the training pixels, or those that the run began with."""
    import dataclasses

    from cropmap_jax.data import pixel_sampling
    from cropmap_jax.training import checkpoints, statistics

    own = checkpoints.begun(workdir)
    if own:
        return dataclasses.replace(recipe, statistics=own[0].statistics)
    config = train_config.sampling
    made = pixel_sampling.make_pixel_batches(data, "train", config, 1, train_config.seed)
    pixels = made.statistics_pixels(statistics.PIXELS)
    found = statistics.compute(pixels, recipe.sensors, recipe.found_indices)
    for sensor, bands in statistics.missing(found, recipe.sensors).items():
        print(
            f"note: no value of {', '.join(bands)} of {sensor} in the training pixels; these count "
            f"as missing everywhere"
        )
    return dataclasses.replace(recipe, statistics=found)


def train(
    data,
    recipe,
    train_config,
    variables,
    workdir: str,
    following: str,
    ancestors: Sequence[dict] = (),
) -> None:
    """Trains, and prints where the result lies and what to run next."""
    from cropmap_jax.geo import processes
    from cropmap_jax.training import loop, parallel

    with processes.stoppable():  # also before its first step and while the last is saved
        record = loop.train(
            data, recipe, train_config, variables, workdir, _PROFILE.value, ancestors
        )
    if parallel.process_index() > 0:
        return
    _output.results(workdir=workdir, metrics=record)
    card = _card(workdir, data, train_config.config.get("init_from"))
    shown = ", ".join(f"{k} {v:.4g}" for k, v in record.items() if "rate" not in k)
    print(f"done: {shown}\ncheckpoint and metrics: {workdir}\n{card}\nnext: {following}")


def _card(workdir: str, data, init_from: str | None) -> str:
    """Writes the model card of a run; a line about it."""
    from cropmap_jax.product import keeping
    from cropmap_jax.training import checkpoints, parallel

    if parallel.process_count() > 1:  # the others, which reading it would wait for, have ended
        return "note: no model card yet: evaluate writes it"
    try:
        run = checkpoints.load(workdir)
    except ValueError as error:  # e.g. 0 epochs asked for, and nothing saved
        return f"note: no model card was written: {error}"
    return keeping.refresh(workdir, run, data, [init_from] if init_from else [])
