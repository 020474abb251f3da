"""What `pretrain` and `finetune` share: from a config to a recipe, a plan and a finished run."""

from ml_collections import ConfigDict


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
    )


def make_plan(config: ConfigDict, stage: str, recipe):
    """The plan of a run."""
    from cropmap_jax.training import input_pipeline, loop

    loading = input_pipeline.Loading(
        num_periods=recipe.num_periods,
        lead_days=config.lead_days,
        as_of=input_pipeline.parse_as_of(tuple(config.as_of), "--config.as_of"),
        crop=config.crop or None,
        crops_per_chip=config.crops_per_chip,
        empty_ratio=config.empty_ratio,
        augment=config.augment,
    )
    if loading.crop and loading.crop % recipe.size_multiple:
        raise ValueError(
            f"--config.crop: expected a multiple of {recipe.size_multiple} (2 to the power of "
            f"model.levels), found {loading.crop}"
        )
    rates = {"trunk": config.learning_rate.trunk, "head": config.learning_rate.head}
    same = ("epochs", "batch_size", "seed", "optimizer", "schedule", "warmup_steps")
    same += ("class_weights", "freeze_trunk_statistics", "checkpoint_every", "log_every", "keep")
    return loop.Plan(
        stage=stage,
        loading=loading,
        learning_rates=rates,
        config=config.to_dict(),
        **{name: config[name] for name in same},
    )


def finish(record: dict, workdir: str, following: str) -> None:
    """Prints where the result lies and what to run next."""
    shown = ", ".join(f"{k} {v:.4g}" for k, v in record.items() if "rate" not in k)
    print(f"done: {shown}\ncheckpoint and metrics: {workdir}\nnext: {following}")
