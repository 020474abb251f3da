"""The methods that are compared, as data: how each is trained."""

import dataclasses

FINETUNE, BASELINE, SPOT, COMBINE = "finetune", "baseline", "spot", "combine"


@dataclasses.dataclass(frozen=True)
class Method:
    """One way to map crops.

    Args:
      name: for --methods and in the JSON.
      label: in tables.
      verb: FINETUNE or BASELINE of `experiments`; SPOT trains within `evaluate --baseline`, a model
        for each as-of date, and leaves nothing that could map; COMBINE puts runs of other methods
        together.
      config: file of settings; "" for COMBINE.
      flags: more settings.
      pretrain: file of settings of the pretraining on simulated Europe; "" trains from scratch.
      others: {place: (file of settings, flags)} where the config is not for that place.
      places: the only ones where it runs; () for all.
      spot: name for `evaluate --baseline`, of SPOT.
      members: names of the methods whose runs of the same place and seed are put together.
      seeds_of: those of them that take part with every seed.
      default: whether it runs when --methods does not name it.
    """

    name: str
    label: str
    verb: str
    config: str = ""
    flags: tuple[str, ...] = ()
    pretrain: str = ""
    others: dict[str, tuple[str, tuple[str, ...]]] = dataclasses.field(default_factory=dict)
    places: tuple[str, ...] = ()
    spot: str = ""
    members: tuple[str, ...] = ()
    seeds_of: tuple[str, ...] = ()
    default: bool = True

    def runs_on(self, place: str) -> bool:
        """Whether it is for a place, such as iran-0, iran-1, belgium or tervuren."""
        return not self.places or place.partition("-")[0] in self.places

    def settings(self, place: str) -> tuple[str, tuple[str, ...]]:
        """File of settings and flags for a place."""
        return self.others.get(place, (self.config, self.flags))


_SCRATCH = ("--config.from_scratch=True",)
_PIXEL_SERIES = "configs/pixel_series/finetune.py"
_ALONE = (*_SCRATCH, "--config.model.neighbourhood=(1,)")
_MAP_LABELS = ("--config.mixup=0.3",)  # as in configs/pixel_series/pretrain.py
_FEWER = ("--config.arguments.trees=100",)  # 300 take three times as long, minutes each
# The U-Net on 1 km2: docs/real_run.md. Belgium asks for exclusive classes.
_SEED_ON_REAL = {
    "tervuren": ("configs/real/finetune_tervuren.py", _SCRATCH),
    "belgium": (
        "configs/real/pretrain_belgium.py",
        ("--config.loss=softmax_none", "--config.class_weights=none"),
    ),
}

METHODS = (
    Method("dates", "dates alone", BASELINE, "configs/baselines/dates.py"),
    Method(
        "forest_raw",
        "forest, bands alone, a forest per date",
        SPOT,
        "configs/baselines/dates.py",
        spot="raw_forest",
    ),
    Method(
        "forest_indices",
        "forest, indices",
        BASELINE,
        "configs/baselines/forest.py",
        ("--config.means=()", *_FEWER),
    ),
    Method("forest", "forest, indices and means", BASELINE, "configs/baselines/forest.py", _FEWER),
    Method(
        "forest_dated",
        "forest, indices and means, a forest per date",
        SPOT,
        "configs/baselines/dates.py",
        spot="forest",
    ),
    Method("boosting", "boosting, indices and means", BASELINE, "configs/baselines/boosting.py"),
    Method(
        "boosting_dated",
        "boosting, indices and means, a model per date",
        SPOT,
        "configs/baselines/dates.py",
        spot="boosting",
    ),
    Method("logistic", "logistic regression", BASELINE, "configs/baselines/logistic.py"),
    Method(
        "seed",
        "dual_unet3d (small), from scratch",
        FINETUNE,
        "configs/demo/finetune.py",
        _SCRATCH,
        others=_SEED_ON_REAL,
    ),
    Method(
        "seed_pretrained",
        "dual_unet3d (small), pretrained",
        FINETUNE,
        "configs/demo/finetune.py",
        pretrain="configs/demo/pretrain.py",
        places=("iran",),
    ),
    Method(
        "pixel_series",
        "pixel_series",
        FINETUNE,
        _PIXEL_SERIES,
        _SCRATCH,
        others={"belgium": (_PIXEL_SERIES, (*_SCRATCH, *_MAP_LABELS))},
    ),
    Method(
        "pixel_series_alone",
        "pixel_series, without means",
        FINETUNE,
        _PIXEL_SERIES,
        _ALONE,
        others={"belgium": (_PIXEL_SERIES, (*_ALONE, *_MAP_LABELS))},
    ),
    Method(
        "combined",
        "pixel_series and forest, combined",
        COMBINE,
        members=("pixel_series", "forest_indices"),
    ),
    Method(
        "combined_seeds",
        "all seeds of pixel_series and forest, combined",
        COMBINE,
        members=("pixel_series", "forest_indices"),
        seeds_of=("pixel_series",),
    ),
)


def find(names: list[str] | None) -> list[Method]:
    """Methods by name, in the table's order; the default ones for None.

    Raises:
      ValueError: a name that is not there, or none.
    """
    if names is None:
        return [method for method in METHODS if method.default]
    known = [method.name for method in METHODS]
    for name in names:
        if name not in known:
            raise ValueError(f"--methods: expected some of {', '.join(known)}, found {name!r}")
    if not names:
        raise ValueError(f"--methods: expected some of {', '.join(known)}, found none")
    return [method for method in METHODS if method.name in names]
