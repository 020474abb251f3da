"""What `pretrain` and `finetune` share: from a config to a recipe, a plan and a finished run.

--profile 20                            write a trace of 20 steps
--coordinator HOST:PORT --num_processes 2 --process_id 0
                                        one of two processes that train together
"""

from absl import flags
from ml_collections import ConfigDict

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
_PROCESS_ID = flags.DEFINE_integer("process_id", None, "Which this one is, from 0.", lower_bound=0)


def start() -> None:
    """Joins the processes of the run, if there are several; before anything else uses jax."""
    from cropmap_jax.training import parallel

    parallel.start(_COORDINATOR.value, _NUM_PROCESSES.value, _PROCESS_ID.value)


def require(config: ConfigDict, *names: str) -> None:
    """Demands settings that have no sensible default."""
    for name in names:
        if not config[name]:
            raise ValueError(f"--config.{name}: expected a value, found none")


def make_recipe(config: ConfigDict, data, model: dict | None = None, scaling=None):
    """The recipe of a run on `data`; `model` and `scaling` when a checkpoint decides them."""
    from cropmap_jax.training.recipe import Recipe
    from cropmap_jax.training.scaling import Scaling

    if scaling is None:
        scaling = Scaling(tuple(config.scaling.s1_db), tuple(config.scaling.s2))
    return Recipe(
        model=model or config.model.to_dict(),
        legend=data.legend,
        scaling=scaling,
        period_kind=data.period_kind,
        loss=config.loss,
        lead_days=config.lead_days,
        pixel_m=data.pixel_m,
    )


def make_plan(config: ConfigDict, stage: str, recipe):
    """The plan of a run."""
    from cropmap_jax.training import input_pipeline
    from cropmap_jax.training.plan import Plan

    loading = input_pipeline.Loading(
        num_periods=recipe.num_periods,
        lead_days=config.lead_days,
        as_of=input_pipeline.parse_as_of(tuple(config.as_of), "--config.as_of"),
        crop=config.crop or None,
        crops_per_chip=config.crops_per_chip,
        empty_ratio=config.empty_ratio,
        augment=config.augment,
        period_dropout=config.period_dropout,
        sensor_dropout=config.sensor_dropout,
    )
    if loading.crop and loading.crop % recipe.size_multiple:
        raise ValueError(
            f"--config.crop: expected a multiple of {recipe.size_multiple} (2 to the power of "
            f"model.levels), found {loading.crop}"
        )
    rates = {"trunk": config.learning_rate.trunk, "head": config.learning_rate.head}
    same = ("epochs", "batch_size", "seed", "optimizer", "schedule", "warmup_steps")
    same += ("class_weights", "freeze_trunk_statistics", "checkpoint_every", "log_every", "keep")
    same += ("accumulate", "remat", "checkpoint_minutes")
    return Plan(
        stage=stage,
        loading=loading,
        learning_rates=rates,
        config=config.to_dict(),
        **{name: config[name] for name in same},
    )


def train(data, recipe, plan, variables, workdir: str, following: str) -> None:
    """Trains, and prints where the result lies and what to run next."""
    from cropmap_jax.training import loop, parallel

    record = loop.train(data, recipe, plan, variables, workdir, _PROFILE.value)
    if parallel.process_index() > 0:
        return
    shown = ", ".join(f"{k} {v:.4g}" for k, v in record.items() if "rate" not in k)
    print(f"done: {shown}\ncheckpoint and metrics: {workdir}\nnext: {following}")
