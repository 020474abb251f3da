"""Networks by name: registered ones, and `NETWORK` of the modules of this package.

`config.model` is `{"name": ..., "num_periods": ..., "dtype": ..., **the network's own arguments}`.
A network is a flax module, called as

    network.apply(variables, pixels, valid, day_of_year, train=False)

with pixels and valid {sensor: float [B, T, H, W, bands]}, indices behind the bands of their sensor,
values scaled to [0, 1] or standardised and 0 where missing, valid 1 where they are not (in between
where examples are mixed); and day_of_year int32 [B, T] of the periods' middles, 0 where a period is
missing. To a network with a `neighbourhood` "bands" are, one side after the other, means of all
bands, and the indices of these means. It returns logits [B, H, W, num_classes], float32 at least.
Its parameters under "head" are the head, which fine-tuning replaces; all others are the trunk.
Arguments of the head have names that begin with "head". While training it is given
`rngs={"dropout": key}`, a key that differs from step to step and is the same on all devices, see
`dropout.Dropout`.

Of its fields, `num_classes` and `num_periods` are required. These are filled in where it has them:

- `bands`: ((sensor, number of bands and indices), ...), in the order in which the run names its
  sensors;
- `dtype`: to compute in;
- `axis_name`: mapped axis over which batch statistics are to be averaged in training, or None;
- `freeze_trunk_statistics`: whether the trunk's batch norm keeps to its running statistics;
- `remat`: whether the gradient recomputes what is large, instead of keeping it.

All other fields are its own arguments, if their default (or else their annotation) is a bool, an
int, a float, a text or a tuple of one kind of these; `config.model` may set them. Attributes,
properties or methods that it may have:

- `size_multiple`: height and width must be multiples of it; else 1;
- `halo`: pixels around a tile that it is given, and that are blended over, in maps; else 0;
- `neighbourhood`: sides in pixels, odd, of squares around a pixel, if its logits depend on the
  means over these alone, and on nothing else of its neighbours: a run that samples pixels then
  reads the largest one around each; else it reads crops;
- `check_arguments(arguments, where)`, static: raises a ValueError for values out of range;
- `without_bands(params, unseen)`: parameters without the weights of bands ({sensor: indices}) that
  training never sees.

Example:
    >>> class Pointwise(nn.Module):
    ...     num_classes: int
    ...     num_periods: int
    ...     width: int = 16
    ...
    ...     @nn.compact
    ...     def __call__(self, pixels, valid, day_of_year, train=False):
    ...         x = jnp.concatenate([pixels[name] for name in sorted(pixels)], axis=-1)
    ...         x = jnp.moveaxis(x, 1, 3).reshape(*x.shape[:1], *x.shape[2:4], -1)
    ...         x = nn.relu(nn.Dense(self.width, name="trunk")(x))
    ...         return nn.Dense(self.num_classes, name="head")(x)
    >>> register("pointwise", Pointwise)
    >>> network = make({"name": "pointwise", "num_periods": 6}, num_classes=3, bands={"s1": 2})
"""

import dataclasses
import importlib
import pkgutil
from collections.abc import Mapping
from typing import Any

import jax.numpy as jnp
from flax import linen as nn

from cropmap_jax.models import arguments

DEFAULT = "dual_unet3d"
"""What a model is that has no name: there was no other network when it was written."""
DTYPES = {"float32": jnp.float32, "bfloat16": jnp.bfloat16}
MOST_PERIODS = 1000
MOST_PIXELS = 100_000
MOST_SIDE = 101
"""Of a neighbourhood: sums of 16 bits over its square fit into 32."""

_PACKAGE = __name__.rpartition(".")[0]
_KINDS = (bool, int, float, str)
# Fields that the run fills in, or flax.
_FILLED = ("num_classes", "num_periods", "bands", "dtype", "axis_name")
_SWITCHES = ("freeze_trunk_statistics", "remat")
_NOT_OWN = {*_FILLED, *_SWITCHES, "name", "parent"}
_registered: dict[str, type[nn.Module]] = {}


class UnknownNetwork(ValueError):
    """The name of a network that there is not, or that is not registered yet."""


def register(name: str, network: type[nn.Module]) -> type[nn.Module]:
    """Makes a network known by name, and returns it.

    Raises:
        ValueError: a name that is none or is taken, or a class without the required fields.
    """
    if not isinstance(name, str) or not name.isidentifier() or len(name) > 100:
        raise ValueError(f"network {name!r:.100}: expected a name of letters, digits and '_'")
    taken = _registered.get(name)
    # The same class, of a module that was imported again, takes the place of the first.
    again = taken is not None and _path(taken) == _path(network)
    if not again and (taken is not None or name in _modules()):
        raise ValueError(f"network {name!r}: expected a new name, found one that is taken")
    fields = _fields(network)
    for field in ("num_classes", "num_periods"):
        if field not in fields:
            raise ValueError(f"network {name!r}: expected a field {field}, found {sorted(fields)}")
    _registered[name] = network
    return network


def names() -> tuple[str, ...]:
    """Names of the networks that there are: those registered, and those of this package."""
    own = [name for name in _modules() if _module_network(name) is not None]
    return tuple(sorted({*_registered, *own}))


def find(name: object, where: str) -> type[nn.Module]:
    """The network of that name: one registered, or `NETWORK` of the module of this package.

    Raises:
        UnknownNetwork: begins with `where`, and lists the names there are.
    """
    found = None
    if isinstance(name, str):
        found = _registered.get(name) or (_module_network(name) if name in _modules() else None)
    if found is None:
        raise UnknownNetwork(
            f"{where}: expected a network among {', '.join(names())}, found "
            f"{arguments.shown(name)}; a module that registers another one is named by --import"
        )
    return found


def check(model: object, where: str) -> None:
    """Requires a network's settings to be known ones, of the right type and in their range.

    Args:
        model: {"num_periods", and what else is not to be the default}.
        where: what to name in an error, e.g. "config.model".

    Raises:
        ValueError: begins with `where`, and says which setting is wrong.
    """
    if not isinstance(model, Mapping):
        raise ValueError(f"{where}: expected settings by name, found {arguments.shown(model)}")
    network = find(model.get("name", DEFAULT), f"{where}.name")
    own = _own(network)
    known = {"name", "num_periods", "dtype", *own}
    for key in model:
        if key not in known:
            label = arguments.shown(key).strip("'")
            raise arguments.unknown(f"{where}.{label}", key, known)
    required = [key for key, (_, default) in own.items() if default is dataclasses.MISSING]
    for key in ("num_periods", *required):
        if key not in model:
            raise ValueError(f"{where}.{key}: expected a setting, found none")
    arguments.whole(f"{where}.num_periods", model["num_periods"], 1, MOST_PERIODS)
    arguments.choice(f"{where}.dtype", model.get("dtype", "float32"), DTYPES)
    if model.get("dtype", "float32") != "float32" and "dtype" not in _fields(network):
        raise ValueError(
            f"{where}.dtype: expected float32, all that {network.__name__} computes in, found "
            f"{model['dtype']}"
        )
    for key, (kind, _) in own.items():
        if key in model:
            _check_kind(f"{where}.{key}", model[key], kind)
    if check_own := getattr(network, "check_arguments", None):
        check_own(_complete(network, model), where)


def complete(model: Mapping[str, Any], where: str = "config.model") -> dict[str, Any]:
    """The same settings with the network's defaults for all that they leave out, checked.

    Raises:
        ValueError: as `check`.
    """
    check(model, where)
    name = model.get("name", DEFAULT)
    return {"name": name} | _complete(find(name, where), model)


def make(
    model: Mapping[str, Any], num_classes: int, bands: Mapping[str, int], **run: object
) -> nn.Module:
    """Makes the network of some settings.

    Args:
        model: as `check` requires it.
        num_classes: number of classes.
        bands: number of bands by sensor, in order.
        run: `axis_name`, `freeze_trunk_statistics`, `remat`, where they are not to be the default.

    Returns:
        The module, without variables.

    Raises:
        ValueError: as `check`; or a switch of `run` is on that the network does not have.
    """
    check(model, "model")
    network = find(model.get("name", DEFAULT), "model.name")
    fields, settings = _fields(network), _complete(network, model)
    for switch in _SWITCHES:
        if run.get(switch) and switch not in fields:
            raise ValueError(
                f"config.{switch}: expected False, since {network.__name__} has no {switch}; "
                "found True"
            )
    filled = {"num_classes": num_classes, "bands": tuple(bands.items())} | run
    filled["dtype"] = DTYPES[settings.pop("dtype")]
    return network(**settings, **{k: v for k, v in filled.items() if k in fields})


def trunk_arguments(model: Mapping[str, Any]) -> dict[str, Any]:
    """The settings that decide on the trunk's parameters: all but the head's and the dtype."""
    return {k: v for k, v in model.items() if k != "dtype" and not k.startswith("head")}


def size_multiple(network: nn.Module) -> int:
    """What height and width must be multiples of.

    Raises:
        ValueError: the network says something else than a whole number, or one out of range.
    """
    return _pixels(network, "size_multiple", 1)


def halo(network: nn.Module) -> int:
    """Pixels around a tile that the network is to see, and that are blended over.

    Raises:
        ValueError: as `size_multiple`.
    """
    return _pixels(network, "halo", 0)


def neighbourhood(network: nn.Module) -> tuple[int, ...] | None:
    """Sides of the squares whose means it is given, in pixels; None: it is given whole images.

    Raises:
        ValueError: sides that are not odd, or that are there twice.
    """
    sides = getattr(network, "neighbourhood", None)
    if sides is not None:
        check_neighbourhood(sides, f"network {type(network).__name__}: neighbourhood")
    return sides


def check_neighbourhood(sides: Any, where: str) -> None:
    """Requires sides of squares around a pixel.

    Raises:
        ValueError: begins with `where`.
    """
    whole = isinstance(sides, tuple) and all(type(side) is int for side in sides)
    odd = whole and all(0 < side <= MOST_SIDE and side % 2 for side in sides)
    if not sides or not odd or len(set(sides)) < len(sides):
        raise ValueError(
            f"{where}: expected odd numbers of pixels from 1 to {MOST_SIDE}, each once, "
            f"found {sides!r:.100}"
        )


def _pixels(network: nn.Module, name: str, least: int) -> int:
    value = getattr(network, name, least)
    arguments.whole(f"network {type(network).__name__}: {name}", value, least, MOST_PIXELS)
    return int(value)


def _modules() -> set[str]:
    """Modules of this package, which are found by their names alone: nothing else is imported."""
    package = importlib.import_module(_PACKAGE)
    return {module.name for module in pkgutil.iter_modules(package.__path__)}


def _module_network(name: str) -> type[nn.Module] | None:
    found = getattr(importlib.import_module(f"{_PACKAGE}.{name}"), "NETWORK", None)
    return found if isinstance(found, type) else None


def _path(network: type) -> tuple[str, str]:
    return network.__module__, network.__qualname__


def _fields(network: type) -> dict[str, dataclasses.Field[Any]]:
    if not isinstance(network, type) or not issubclass(network, nn.Module):
        raise ValueError(f"expected a network's class, a flax module, found {network!r:.100}")
    return {field.name: field for field in dataclasses.fields(network) if field.init}


def _own(network: type[nn.Module]) -> dict[str, tuple[type | tuple[type], Any]]:
    """The network's own arguments: kind ((kind,) for tuples of it) and default."""
    own: dict[str, tuple[type | tuple[type], Any]] = {}
    for name, field in _fields(network).items():
        kind = _kind(field)
        if name not in _NOT_OWN and kind is not None:
            own[name] = kind, field.default
    return own


def _kind(field: dataclasses.Field[Any]) -> type | tuple[type] | None:
    default = field.default
    if default is dataclasses.MISSING:
        # Under `from __future__ import annotations` they are texts.
        return next((k for k in _KINDS if field.type in (k, k.__name__)), None)
    if type(default) in _KINDS:
        return type(default)
    if isinstance(default, tuple) and len({*map(type, default)}) == 1:
        return (type(default[0]),) if type(default[0]) in _KINDS else None
    return None


def _check_kind(where: str, value: object, kind: type | tuple[type]) -> None:
    if isinstance(kind, tuple):
        arguments.list_of_kind(where, value, kind[0])
    else:
        arguments.of_kind(where, value, kind)


def _complete(network: type[nn.Module], model: Mapping[str, Any]) -> dict[str, Any]:
    """All settings but the name; lists as tuples, which flax can hash."""
    defaults = {k: d for k, (_, d) in _own(network).items() if d is not dataclasses.MISSING}
    settings = {"dtype": "float32"} | defaults | {k: v for k, v in model.items() if k != "name"}
    return {k: tuple(v) if isinstance(v, list) else v for k, v in settings.items()}
