"""Which methods `evaluate --compare` compares a run with: trained here, or kept elsewhere."""

import dataclasses
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # it takes seconds to import
    from cropmap_jax.evaluation.scoring import Run


BARE = "forest,logistic"
"""What --compare alone stands for."""
_MOST_PIXELS, _MOST_OF = 200_000, {"logistic": 50_000}
"""Pixels that a method learns from, as in configs/baselines."""
_FLAG = "--compare"


@dataclasses.dataclass(frozen=True)
class Other:
    """A method that the run is compared with.

    Args:
      method: its name in tables.
      words: for people.
      make: trains or opens it: its predictor.
    """

    method: str
    words: str
    make: "Callable[[Run], Any]"


def find(
    values: Sequence[str],
    restored: Any,
    data: Any,
    split: str,
    allowed: bool,
    taken: Sequence[str],
    given: dict[str, Any],
) -> tuple[list[Other], list[str]]:
    """The methods that --compare names, after all that can be wrong with them.

    Args:
      values: names of baselines, and folders of runs.
      restored, data, split: what they are compared with, and on what.
      allowed: runs may have learnt from the ground of a test split.
      taken: names of methods that are scored anyway.
      given: "trees" of forests, "as_of" of the plan or None, and "out", the folder of results.

    Returns:
      The methods, and notes for people.

    Raises:
      ValueError: names what was given, what was found and what was expected.
    """
    from cropmap_jax import runs
    from cropmap_jax.baselines import settings as settings_lib
    from cropmap_jax.geo import files

    values = [value.strip() for value in values]
    if not all(values) or len(set(values)) < len(values):
        raise ValueError(f"{_FLAG}: expected each method once, found {','.join(values)}")
    named = [value for value in values if value in settings_lib.NAMED]
    folders = [value for value in values if value not in settings_lib.NAMED]
    others, noted = _kept(folders, restored, data, split, allowed, [*taken, *named])
    for folder in folders:
        files.check_apart({"--out": given["out"]}, runs.folders(folder))
    if named:
        trained, more = _trained(named, restored, data, split, taken, given)
        others, noted = trained + others, more + noted
    order = {value: number for number, value in enumerate(values)}
    others.sort(key=lambda pair: order[pair[0]])
    return [other for _, other in others], noted


def _trained(named, restored, data, split, taken, given):
    """Baselines that learn here, by what named them; and notes."""
    from cropmap_jax.baselines import methods, settings
    from cropmap_jax.evaluation import baselines

    for name in named:
        if name in taken:
            raise ValueError(
                f"{_FLAG}: expected other methods than those of --workdir and --baseline, which "
                f"are compared anyway, found {name!r}"
            )
    if "train" not in data.chips:
        raise ValueError(
            f"{_FLAG}: expected a train split for {named[0]} to learn from, found "
            f"{', '.join(data.chips)}; name the workdir of a kept one instead"
        )
    recipe, config = restored.recipe, _config_of(restored)
    try:
        dates = baselines.dates_of_training(data, config, recipe.lead_days, given["as_of"])
    except ValueError as error:
        raise ValueError(f"{_FLAG}: {named[0]}: {error}") from error

    def maker(one):
        def make(run: "Run"):
            return baselines.train_for_all_dates(
                one,
                data,
                "train",
                recipe.num_periods,
                dates,
                run.seed,
                recipe.sensors,
                run.scheduler,
            )

        return make

    out = []
    for name, one in settings.find(named, _FLAG, {"trees": given["trees"]}).items():
        one = dataclasses.replace(one, most_pixels=_MOST_OF.get(name, _MOST_PIXELS))
        one.features(recipe.sensors, recipe.num_periods)
        title = methods.METHODS[one.method].title
        words = f"{title}, trained on {data.name}: one model for all dates"
        out.append((name, Other(name, words, maker(one))))
    noted = [
        f"{', '.join(named)}: one model for all dates, seen as of dates drawn as in training; a "
        f"model for each date (--baseline) may score somewhat higher"
    ]
    if split == "train":
        noted.append(f"{', '.join(named)}: learnt from train, the split scored")
    if restored.dataset != data.fingerprint:
        noted.append(f"{', '.join(named)}: learnt from {data.name}, and the run of --workdir not")
    return out, noted


def _config_of(restored) -> dict:
    """The config that says as of which dates a run has learnt; of several, of the first."""
    from cropmap_jax import runs

    parts = list(runs.parts_of(restored).values())
    return (parts[0] if parts else restored).config


def _kept(folders, restored, data, split, allowed, taken):
    """Runs of other workdirs, by what named them; and notes."""
    from cropmap_jax import runs
    from cropmap_jax.runs import combined

    parts = runs.parts_of(restored)
    known = {combined.digest(one): f"the member {name} of it" for name, one in parts.items()}
    known[combined.digest(restored)] = "it"
    found, noted = {}, []
    for folder in folders:
        run = _open(folder, restored, data)
        digest = combined.digest(run)
        if digest in known:
            raise ValueError(
                f"{_FLAG} {folder}: expected another run than that of --workdir and each once, "
                f"found {known[digest]}"
            )
        known[digest] = folder
        noted += _ground(folder, run, data, split, allowed)
        found[folder] = run
    methods = [runs.method_of(run) for run in found.values()]
    short = combined.names_of(folders) if folders else []
    out, names = [], list(taken)
    for (folder, run), method, last in zip(found.items(), methods, short, strict=True):
        name = method if methods.count(method) == 1 and method not in names else last
        if name in names:
            raise ValueError(
                f"{_FLAG} {folder}: expected a folder with another name than {name!r}, which is "
                f"that of a method here"
            )
        names.append(name)
        out.append((folder, Other(name, f"{method} kept in {folder}", _opened(run))))
    return out, noted


def _opened(run):
    def make(scored: "Run"):
        from cropmap_jax import runs

        return runs.predictor_of(run, scored.batch_size)

    return make


def _open(folder: str, restored, data):
    """A run that answers for the same classes, windows and pixels."""
    from cropmap_jax import runs
    from cropmap_jax.baselines import settings
    from cropmap_jax.data import checks
    from cropmap_jax.geo import files

    path = files.local(_FLAG, folder)
    if not path.is_dir():
        raise ValueError(
            f"{_FLAG}: expected a method or the folder of a run, found {checks.shown(folder)}; "
            f"{checks.nearest(folder, list(settings.NAMED))}"
        )
    try:
        run = runs.open_run(path)
        run.recipe.check_dataset(data)
    except ValueError as error:
        raise ValueError(f"{_FLAG} {folder}: {error}") from error
    own, other = restored.recipe.num_periods, run.recipe.num_periods
    if own != other:
        raise ValueError(
            f"{_FLAG} {folder}: expected a window of {own} periods, as the run of --workdir sees, "
            f"found {other}"
        )
    return run


def _ground(folder: str, run, data, split: str, allowed: bool) -> list[str]:
    """Notes about ground that a run has learnt from.

    Raises:
      ValueError: that of a test split is among it.
    """
    from cropmap_jax.evaluation import held_out

    try:
        return [f"{folder}: {note}" for note in held_out.check(run, data, split, allowed)[1]]
    except ValueError as error:
        raise ValueError(f"{_FLAG} {folder}: {error}") from error
