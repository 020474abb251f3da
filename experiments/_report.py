"""What `evaluate --report` does beyond the curve: the whole legend, reliability, maps, the page."""

import dataclasses
import datetime as dt
import json
import pathlib
import platform
import shlex
import sys
from typing import TYPE_CHECKING, Any

from experiments import _evaluation_output

if TYPE_CHECKING:  # it takes seconds to import
    from cropmap_jax.evaluation.scoring import Run

LEADS = [150, 120, 90, 60, 30]
"""Days before harvest, where none are asked for."""
JSON, PAGE = "report.json", "report.html"
_SAME = (
    "digest", "step", "fingerprint", "fold", "fields_per_class", "fields_draw", "split",
    "threshold_split", "smooth", "calibrated",
)  # fmt: skip
"""Settings that a comparison has in common with the report that shows it."""


@dataclasses.dataclass
class Request:
    """What is asked for.

    Args:
      run: of the curve, scored.
      workdir: of the run.
      places: how many are shown on maps, at most.
      dates: int32 [cubes], as of which the whole legend is mapped; None: there is no such map.
      about: what is said of these dates, "one_date" of the report.
    """

    run: "Run"
    workdir: Any
    places: int
    dates: Any
    about: dict[str, Any]


def ask(run: "Run", workdir: str, places: int, as_of: str | None):
    """What the report asks for; and what watches while the curve is scored, which the run is told.

    Args:
      run: of the curve, before it is scored.
      workdir: of the run.
      places: how many are shown on maps, at most.
      as_of: --as_of.

    Raises:
      ValueError: a date before or long after the images.
    """
    from cropmap_jax.evaluation import scoring
    from cropmap_jax.geo import periods
    from cropmap_jax.reporting.watching import Watcher

    day = periods.to_day(periods.parse_date(as_of, "--as_of")) if as_of else None
    watcher = Watcher(run.restored, run.data, run.calibrated)
    run.watch = watcher.of_crops(run.plan, scoring.reference_step(run))
    dates, about = dates_of_the_legend(run, day)
    return Request(run, workdir, places, dates, about), watcher


def write(
    asked: Request, scored: list[Any], curve: dict, notes: list[str], watcher, settings, compared
):
    """Computes what the curve does not hold, and writes the JSON and the page.

    Args:
      asked: what is asked for.
      scored, curve: of the curve.
      notes: printed so far.
      watcher: that has watched the curve.
      settings: of the scores, JSON-ready.
      compared: name of the JSON of `evaluate --compare`, of this or an earlier call.

    Returns:
      Path of the page.
    """
    from cropmap_jax.evaluation import confusion, report, scoring
    from cropmap_jax.reporting import by_block, content, render

    run = asked.run
    whole, by_group = _one_date(asked, watcher)
    step = scoring.reference_step(run)
    found = {
        "schema": content.SCHEMA,
        "created": dt.datetime.now(dt.UTC).date().isoformat(),
        "settings": settings,
        "crops": _crops(run),
        "step": step,
        "curve": curve,
        "one_date": asked.about | {"confusion": whole},
        "reliability": watcher.to_json(),
        "blocks": by_block.table(run.data, run.split, scored[0], step, by_group),
        "maps": _maps(asked),
        "provenance": _provenance(asked),
        # The page has that matrix, of a date of its own.
        "notes": [note for note in notes if note != confusion.NO_MAP],
    }
    found |= _compare(run.out / compared, settings, found["notes"])
    report.write_json(run.out / JSON, found)
    page = run.out / PAGE
    report.write(page, render.render(found).encode())
    return page


def names(asked: Request) -> list[str]:
    """Files that `write` writes, or may write."""
    maps = [] if asked.dates is None else _evaluation_output.of_a_map()
    return [JSON, PAGE, *maps]


def _crops(run: "Run") -> list[dict[str, Any]]:
    from cropmap_jax.reporting import pictures

    rows = []
    for index, one in enumerate(run.data.legend.classes):
        colour, pattern = pictures.look(index)
        own = {"name": one.name, "title": one.title, "colour": colour, "pattern": pattern}
        rows.append(own | {"scored": index in run.plan.crops})
    return rows


def dates_of_the_legend(run: "Run", as_of: int | None) -> tuple[Any, dict[str, Any]]:
    """As of which dates the whole legend is mapped, and what is said of them; see `Request`.

    Args:
      run: of the curve.
      as_of: days since 1970-01-01; None: the last date of a curve by date, else chosen by the
        calendar.

    Raises:
      ValueError: a date that was asked for, before or long after the images.
    """
    import numpy as np

    from cropmap_jax.data import input_pipeline
    from cropmap_jax.evaluation import evaluate
    from cropmap_jax.reporting import one_date

    data, lead, flag = run.data, run.restored.recipe.lead_days, "--as_of" if as_of else ""
    if len(run.plan.crops) < len(data.legend):
        return None, {"dates": None, "rule": None, "reason": "one crop alone was scored"}
    if as_of is None:
        as_of = run.plan.steps[-1].as_of
    if as_of is None:
        harvest = input_pipeline.as_of_dates(data, list(range(len(data.legend))), 0)
        dates = one_date.choose(harvest, data.planting, lead)
        rule = one_date.RULE.format(lead=lead)
    else:
        dates, rule = np.full(len(data.cubes), as_of, np.int32), "the date that was asked for"
    own = np.unique(data.split(run.split).cube)
    about = {"dates": one_date.words(dates[own]), "rule": rule, "reason": None}
    try:
        evaluate.check_windows(
            data, [run.split], dates[:, None], run.restored.recipe.num_periods, flag
        )
    except ValueError as error:
        if flag:
            raise
        return None, about | {"reason": str(error)}
    return dates, about


def _one_date(asked: Request, watcher):
    """Confusion of the map of all classes as of one date; by block, None where there is none."""
    import numpy as np

    from cropmap_jax.evaluation import as_of_plan, scoring
    from cropmap_jax.geo import periods

    if asked.dates is None:
        return [], None
    run, classes = asked.run, list(range(len(asked.run.data.legend)))
    first = periods.to_day(dt.date.fromisoformat(asked.about["dates"][0]))
    every = np.repeat(asked.dates[:, None], len(classes), 1)
    plan = as_of_plan.single(classes, every, as_of_plan.Step(as_of=first))
    second = dataclasses.replace(
        run, plan=plan, chooser=None, baselines={}, members=False, unknown=False, pictures=0,
        watch=None if run.calibrated else watcher.of_map,
    )  # fmt: skip
    (scored,), _ = scoring.score(second)
    if run.calibrated:  # what calibration changes shows beside what there was without it
        bare = dataclasses.replace(second, calibrated=None, watch=watcher.of_map)
        scoring.score(bare)
    matrices = [row for row in _evaluation_output._confusions(second, [scored]) if "unit" in row]
    tally, found = scored.found.maps[0][1], scored.found
    return matrices, tally.confusion("pixels", found.groups_of_pixels, scored.groups)


def _maps(asked: Request) -> dict[str, Any]:
    """Maps of some places as of the points of the curve."""
    import matplotlib
    from matplotlib.colors import to_hex

    from cropmap_jax import runs
    from cropmap_jax.reporting import pictures, places
    from cropmap_jax.runs import calibration

    run, recipe = asked.run, asked.run.restored.recipe
    own = runs.predictor_of(run.restored, run.batch_size)
    ramp = matplotlib.colormaps["cividis"]
    colours = [to_hex(ramp(i / (pictures.LEVELS - 1))) for i in range(pictures.LEVELS)]
    chosen, left_out = places.choose(run.data, run.split, asked.places)
    maps = places.Maps(
        calibration.apply(own, run.calibrated, len(run.data.legend)), run.data, run.split,
        recipe.num_periods, run.plan.steps, recipe.exclusive, recipe.none_of_these, run.smoothed,
        colours,
    )  # fmt: skip
    kind = "as_of" if run.plan.steps[0].as_of is not None else "lead_days"
    return {
        "axis": {"kind": kind, "values": [step.to_json()[kind] for step in run.plan.steps]},
        "calibrated": run.calibrated is not None,
        "confidence": colours,
        "places": maps.draw(chosen),
        "left_out": left_out,
    }


def _compare(file: pathlib.Path, settings: dict, notes: list[str]) -> dict[str, Any]:
    """What `evaluate --compare` wrote of the same scores, if it is there."""
    try:
        read = json.loads(file.read_text(encoding="utf-8"))
        found, of = read["compare"], read["settings"]
        same = all(of.get(key) == settings.get(key) for key in _SAME)
        known = found["schema"] == "compare/1"
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        notes.append(f"{file} could not be read ({type(error).__name__}): left out of the report")
        return {}
    if not (same and known):
        notes.append(
            f"{file} is of another run, dataset, split or of other settings: left out of the "
            f"report; --compare makes it again"
        )
        return {}
    return {"compare": found}


def _provenance(asked: Request) -> dict[str, Any]:
    """How it came about: commands, versions, settings."""
    import jax
    import numpy as np
    import sklearn

    import cropmap_jax

    run = asked.run
    config = json.loads(json.dumps(dict(run.restored.config), default=str))
    return {
        "command": f"python -m experiments.evaluate {shlex.join(sys.argv[1:])}",
        "workdir": str(asked.workdir),
        "folder": str(run.data.path),
        "config": config,
        "versions": {
            "cropmap_jax": cropmap_jax.__version__,
            "jax": jax.__version__,
            "numpy": np.__version__,
            "scikit-learn": sklearn.__version__,
            "python": platform.python_version(),
        },
    }
