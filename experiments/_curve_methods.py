"""The methods of a learning curve, as data: how each is trained."""

import dataclasses
import functools
import pathlib
import runpy
from collections.abc import Mapping, Sequence

from experiments import _cli

FINETUNE, PRETRAIN, BASELINE, COMBINE = "finetune", "pretrain", "baseline", "combine"
NETWORKS = ("pixel_series", "dual_unet3d")
"""What --pretrained may bring."""


@dataclasses.dataclass(frozen=True)
class Method:
    """One way to map crops.

    Args:
      name: for --methods, and of its folder.
      label: in tables and pictures.
      verb: the command that trains it.
      config: file of settings; "" where the command takes none.
      flags: more settings.
      network: which one it is; "" for none of NETWORKS.
      pretrained: whether it starts from the one of --pretrained.
      member: whether it is one of those that are combined.
      zero: whether it can do without any field.
    """

    name: str
    label: str
    verb: str
    config: str = ""
    flags: tuple[str, ...] = ()
    network: str = ""
    pretrained: bool = False
    member: bool = False
    zero: bool = False


_SCRATCH = ("--config.from_scratch=True",)
_PIXELS, _UNET = "configs/pixel_series/finetune.py", "configs/demo/finetune.py"

METHODS = (
    Method(
        "pixel_series",
        "pixel_series, from scratch",
        FINETUNE,
        _PIXELS,
        _SCRATCH,
        network="pixel_series",
        member=True,
    ),
    Method(
        "pixel_series_pretrained",
        "pixel_series, pretrained",
        FINETUNE,
        _PIXELS,
        network="pixel_series",
        pretrained=True,
        member=True,
    ),
    Method(
        "pixel_series_warm",
        "pixel_series, pretrained, warm head",
        FINETUNE,
        _PIXELS,
        ("--config.crosswalk=built_in",),
        network="pixel_series",
        pretrained=True,
        member=True,
        zero=True,
    ),
    Method(
        "dual_unet3d",
        "dual_unet3d (small), from scratch",
        FINETUNE,
        _UNET,
        _SCRATCH,
        network="dual_unet3d",
    ),
    Method(
        "dual_unet3d_pretrained",
        "dual_unet3d (small), pretrained",
        FINETUNE,
        _UNET,
        network="dual_unet3d",
        pretrained=True,
    ),
    Method(
        "forest",
        "forest, indices",
        BASELINE,
        "configs/baselines/forest.py",
        # 300 trees take three times as long.
        ("--config.means=()", "--config.arguments.trees=100"),
        member=True,
    ),
    Method("combined", "combined: pixel_series and forest", COMBINE),
)
BY_NAME = {method.name: method for method in METHODS}


def find(names: Sequence[str] | None, pretrained: Mapping[str, str]) -> list[Method]:
    """Methods by name, in the order of the table, those of one's own last.

    Args:
      names: of --methods: in BY_NAME, or NAME=FILE; None: all that need no other pretrained ones.
      pretrained: workdirs by network.

    Raises:
      ValueError: a name that is not known, twice, or of a method that lacks what it needs.
    """
    if names is None:
        return [m for m in METHODS if not m.pretrained or m.network in pretrained]
    own, known = [], []
    for word in (word.strip() for word in names):
        name, equals, file = word.partition("=")
        if equals:
            own.append(_own(name, file))
        elif name in BY_NAME:
            known.append(BY_NAME[name])
        else:
            raise ValueError(
                f"--methods: expected some of {', '.join(BY_NAME)}, or NAME=FILE, found {word!r}"
            )
    found = sorted(known, key=METHODS.index) + own
    if not found:
        raise ValueError(f"--methods: expected some of {', '.join(BY_NAME)}, found none")
    if len({m.name for m in found}) < len(found):
        raise ValueError(f"--methods: expected each name once, found {', '.join(names)}")
    for method in found:
        if method.pretrained and method.network not in pretrained:
            raise ValueError(
                f"--pretrained: expected {method.network}=WORKDIR for --methods {method.name}, "
                f"found none"
            )
    if BY_NAME["combined"] in found and sum(m.member for m in found) < 2:
        members = ", ".join(m.name for m in METHODS if m.member)
        raise ValueError(f"--methods combined: expected two or more of {members}, found fewer")
    return found


def _own(name: str, config: str) -> Method:
    """A method of one's own: a file of settings, whose kind its settings tell."""
    if not name.isidentifier() or name in BY_NAME:
        raise ValueError(
            f"--methods: expected a name of letters, digits and _ that is none of "
            f"{', '.join(BY_NAME)}, found {name!r}"
        )
    made = settings(config)
    verb = FINETUNE if "from_scratch" in made else PRETRAIN if "epochs" in made else BASELINE
    return Method(name, name, verb, config)


@functools.cache
def settings(config: str):
    """The settings that a file makes.

    Raises:
      ValueError: there is no such file, or it makes none.
    """
    path, colon, argument = config.partition(":")
    file = pathlib.Path(path)
    if not file.exists() and file.parts[:1] == ("configs",):
        file = _cli.installed_or_checkout("configs").joinpath(*file.parts[1:])
    if not file.is_file():
        raise ValueError(f"--methods: expected a file of settings, found none at {path}")
    try:
        return runpy.run_path(str(file))["get_config"](*([argument] if colon else []))
    except Exception as error:  # a program of the user's own may raise anything
        raise ValueError(f"--methods: {path}: {error!r}") from error
