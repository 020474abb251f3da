"""Choices of the original system and ours, as data: what is changed of a network's config."""

import dataclasses

from benchmarks.seed_choices.altered import STRETCHED, ZEROS

OURS, SIGMOID = "ours", "sigmoid"


@dataclasses.dataclass(frozen=True)
class Network:
    """One of the two networks, as we train it.

    Args:
      name: for --networks and of folders.
      config, pretraining: files of settings.
      sigmoid: whether its loss is one yes or no per class already.
      masks: the setting that gives it flags of missing values; "" where it always has them.
    """

    name: str
    config: str
    pretraining: str
    sigmoid: bool
    masks: str


@dataclasses.dataclass(frozen=True)
class Choice:
    """What is changed.

    Args:
      name: for --choices and of folders.
      label: in the table.
      flags: settings, without "--config.".
      ways: what is done to the cubes, see `altered`.
      pretrained: whether it starts from a network that was pretrained on cubes altered likewise.
      reference: what it is compared with.
    """

    name: str
    label: str
    flags: tuple[str, ...] = ()
    ways: tuple[str, ...] = ()
    pretrained: bool = False
    reference: str = OURS

    def of(self, network: Network) -> "Choice":
        """As it is for a network: a reference that is its own default is OURS."""
        if self.reference == SIGMOID and network.sigmoid:
            return dataclasses.replace(self, reference=OURS)
        return self

    def settings(self, network: Network) -> list[str]:
        """Flags of `finetune`."""
        flags = list(self.flags)
        if ZEROS in self.ways and network.masks and not self.pretrained:
            flags.append(f"scratch.{network.masks}=False")
        return [f"--config.{flag}" for flag in flags]


NETWORKS = (
    Network(
        "pixel_series",
        "configs/pixel_series/finetune.py",
        "configs/pixel_series/pretrain.py",
        sigmoid=False,
        masks="",
    ),
    Network(
        "dual_unet3d",
        "configs/demo/finetune.py",
        "configs/demo/pretrain.py",
        sigmoid=True,
        masks="use_validity",
    ),
)

_SIGMOID = ("loss=sigmoid",)
_NEGATIVE = ("unknown.treatment=negative",)
_OWN = ("dates_of=annotated",)

CHOICES = (
    Choice(OURS, "ours"),
    Choice(SIGMOID, "a yes or no per class (sigmoid)", _SIGMOID),
    Choice("negative", "unknown is negative, weight 1", _NEGATIVE),
    Choice("negative_sigmoid", "the same with sigmoid", _SIGMOID + _NEGATIVE, reference=SIGMOID),
    Choice("pu", "nnPU", (*_SIGMOID, "unknown.treatment=pu"), reference=SIGMOID),
    Choice("pnu", "PNU", (*_SIGMOID, "unknown.treatment=pnu"), reference=SIGMOID),
    Choice("stretched", "S1 min-max per image", ways=(STRETCHED,)),
    Choice("window", "window tied to the annotated crop", _OWN),
    Choice("zeros", "missing is 0, no mask", ways=(ZEROS,)),
    Choice("pretrained", "pretrained on Europe", pretrained=True),
    Choice("seed", "all of the seed's choices", _SIGMOID + _NEGATIVE + _OWN, (ZEROS, STRETCHED)),
    Choice(
        "seed_pretrained",
        "all of the seed's, pretrained likewise",
        _SIGMOID + _NEGATIVE + _OWN,
        (ZEROS, STRETCHED),
        pretrained=True,
    ),
)


def choices_of(network: Network, names: list[str] | None, europe: bool) -> list[Choice]:
    """Choices of a network by name, with what these are compared with, in the order of the table.

    Args:
      network: which.
      names: of --choices; None: all.
      europe: whether there are cubes to pretrain on; else the pretrained ones are left out.

    Raises:
      ValueError: a name that is not known, or of a choice that needs cubes to pretrain on.
    """
    known = {choice.name: choice.of(network) for choice in CHOICES}
    for name in names or ():
        if name not in known:
            raise ValueError(f"--choices: expected some of {', '.join(known)}, found {name!r}")
        if known[name].pretrained and not europe:
            raise ValueError(f"--europe: expected cubes for --choices {name}, found none")
    wanted = {OURS} | set(known if names is None else names)
    wanted |= {known[name].reference for name in wanted}
    if network.sigmoid:
        wanted -= {SIGMOID, "negative_sigmoid"}
    return [c for c in known.values() if c.name in wanted and (europe or not c.pretrained)]


def find_networks(names: list[str] | None) -> list[Network]:
    """Networks by name.

    Raises:
      ValueError: a name that is not known.
    """
    known = {network.name: network for network in NETWORKS}
    for name in names or ():
        if name not in known:
            raise ValueError(f"--networks: expected some of {', '.join(known)}, found {name!r}")
    return [network for network in NETWORKS if names is None or network.name in names]
