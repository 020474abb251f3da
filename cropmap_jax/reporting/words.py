"""Numbers, dates and names as people read them."""

import datetime as dt
from collections.abc import Mapping, Sequence
from typing import Any

DASH = "–"
PERCENT = "\N{NO-BREAK SPACE}%"
METHODS = {
    "network": "neural network",
    "combined": "combination of several runs",
    "forest": "random forest",
    "raw_forest": "random forest on bands alone",
    "forest_indices": "random forest on indices",
    "boosting": "gradient boosting",
    "logistic": "logistic regression",
    "dates": "calendar alone, no image",
}
NONE = "none_of_these"

Figure = Mapping[str, Any]


def date(iso: str | None) -> str:
    """ "2022-05-04" as "4 May 2022"."""
    if iso is None:
        return "no date"
    day = dt.date.fromisoformat(iso)
    return f"{day.day} {day:%B} {day.year}"


def dates(pair: Sequence[str] | None) -> str:
    """First and last date."""
    if not pair:
        return "no date"
    first, last = pair[0], pair[-1]
    return date(first) if first == last else f"{date(first)} to {date(last)}"


def as_of(pair: Sequence[str] | None) -> str:
    """The date of a map, which may differ from place to place."""
    if not pair or pair[0] == pair[-1]:
        return f"as of {dates(pair)}"
    return f"as of a date of each place, from {date(pair[0])} to {date(pair[-1])}"


def step(point: Mapping[str, Any]) -> str:
    """When a point of the curve is: "60 days before harvest", "as of 1 May 2022"."""
    if point.get("as_of"):
        return f"as of {date(point['as_of'])}"
    days = point.get("lead_days")
    if days is None:
        return "as of one date"
    if days == 0:
        return "on the day that harvest begins"
    if days < 0:
        return f"{count(-days, 'day')} after harvest has begun"
    return f"{count(days, 'day')} before harvest"


def short_step(point: Mapping[str, Any]) -> str:
    """The same for a narrow column: "60 days", "1 May 2022"."""
    if point.get("as_of"):
        return date(point["as_of"])
    return count(point["lead_days"], "day")


def count(number: int, what: str) -> str:
    """ "1 day", "1,200 days"."""
    return f"{number:,} {what}{'' if abs(number) == 1 else 's'}"


def score(value: float | None) -> str:
    """ "0.85"; with a true minus sign."""
    return DASH if value is None else f"{value:.2f}".replace("-", "−")


def percent(value: float | None) -> str:
    """ "93 %", in one piece; never "100 %" of less than all, nor "0 %" of more than nothing."""
    if value is None:
        return DASH
    rounded = round(100 * value)
    if rounded == 100 and value < 1:
        return f"over 99{PERCENT}"
    if rounded == 0 and value > 0:
        return f"under 1{PERCENT}"
    return f"{rounded}{PERCENT}"


def figure(one: Figure) -> str:
    """ "0.85 (0.70 to 0.93)"."""
    if one["value"] is None or one.get("low") is None or one.get("high") is None:
        return score(one["value"])
    return f"{score(one['value'])} ({score(one['low'])} to {score(one['high'])})"


def share(one: Figure) -> str:
    """ "93 % (75 % to 100 %)"."""
    if one["value"] is None or one.get("low") is None or one.get("high") is None:
        return percent(one["value"])
    low, high = (f"{round(100 * one[end])}{PERCENT}" for end in ("low", "high"))
    return f"{percent(one['value'])} ({low} to {high})"


def method(name: str) -> str:
    """What a method is called: members of combined runs and other workdirs as they are."""
    return METHODS.get(name, name)


def listed(names: Sequence[str], most: int = 8) -> str:
    """ "a, b and c"."""
    if len(names) > most:
        return f"{', '.join(names[:most])} and {len(names) - most} more"
    return " and ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)


def length(metres: float) -> str:
    """ "580 m", "1.28 km"."""
    return f"{metres / 1000:.2f} km" if metres >= 1000 else f"{metres:.0f} m"


class Titles:
    """Titles of crops by name.

    Args:
      crops: of the report.
    """

    def __init__(self, crops: Sequence[Mapping[str, Any]]):
        self._titles = {one["name"]: one["title"] for one in crops}

    def __call__(self, name: str) -> str:
        """The title; "none of these" for what is no class."""
        if name == NONE:
            return "none of these"
        return self._titles.get(name) or name
