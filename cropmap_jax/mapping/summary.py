"""What a map holds: pixels and hectares per class, over any number of cubes."""

import csv
import dataclasses
import io
import pathlib
from collections.abc import Iterable

from cropmap_jax.geo import files
from cropmap_jax.geo.legend import Legend
from cropmap_jax.mapping.records import read_record, values

NO_DATA = "no_data"


@dataclasses.dataclass
class Tally:
    """Sums over the records of cubes.

    Args:
      pixels, hectares: by class name, with "none_of_these" and "no_data".
      leads: smallest and largest effective lead in days of any class that could be shown.
      window_ends: earliest and latest end of a window, ISO dates.
      excluded: cubes in which a class was excluded, by class name.
      cubes: how many.
    """

    pixels: dict[str, int]
    hectares: dict[str, float]
    leads: tuple[int, int] | None = None
    window_ends: tuple[str, str] | None = None
    excluded: dict[str, int] = dataclasses.field(default_factory=dict)
    cubes: int = 0

    @classmethod
    def of(cls, classes: Legend) -> "Tally":
        """An empty tally of a legend."""
        names = values(classes).values()
        return cls(dict.fromkeys(names, 0), dict.fromkeys(names, 0.0))

    def add(self, record: dict) -> None:
        """Counts the record of one cube."""
        self.cubes += 1
        for name, area in record["area"].items():
            self.pixels[name] += area["pixels"]
            self.hectares[name] += area["hectares"]
        for name in record["excluded"]:
            self.excluded[name] = self.excluded.get(name, 0) + 1
        leads = record["lead_days"].items()
        known = [d for name, d in leads if d is not None and name not in record["excluded"]]
        self.leads = _span(self.leads, known)
        self.window_ends = _span(self.window_ends, [record["window_end"]])

    @property
    def mapped(self) -> float:
        """Hectares with an answer."""
        return sum(self.hectares.values()) - self.hectares[NO_DATA]

    def rows(self, classes: Legend) -> list[dict]:
        """One row per class: name, title, pixels, hectares and share of the mapped area."""
        titles = {c.name: c.title for c in classes.classes}
        titles |= {"none_of_these": "None of these", NO_DATA: "No data"}
        return [
            {
                "class": name,
                "title": titles[name],
                "pixels": self.pixels[name],
                "hectares": round(self.hectares[name], 4),
                "share": ""
                if name == NO_DATA or not self.mapped
                else round(self.hectares[name] / self.mapped, 6),
            }
            for name in values(classes).values()
        ]


def _span(known: tuple | None, found: list) -> tuple | None:
    every = [*(known or ()), *found]
    return (min(every), max(every)) if every else None


def tally(out: pathlib.Path, cube_ids: Iterable[str], classes: Legend) -> Tally:
    """Sums the records of these cubes, one at a time."""
    result = Tally.of(classes)
    for cube_id in cube_ids:
        result.add(read_record(out / cube_id))
    return result


def merge(tallies: list[Tally], classes: Legend) -> Tally:
    """One tally of several."""
    result = Tally.of(classes)
    for one in tallies:
        result.cubes += one.cubes
        for name in result.pixels:
            result.pixels[name] += one.pixels[name]
            result.hectares[name] += one.hectares[name]
        for name, count in one.excluded.items():
            result.excluded[name] = result.excluded.get(name, 0) + count
        result.leads = _span(result.leads, list(one.leads or ()))
        result.window_ends = _span(result.window_ends, list(one.window_ends or ()))
    return result


def write_csv(path: pathlib.Path, rows: list[dict]) -> None:
    """Writes rows as CSV.

    Raises:
      OSError: names the file.
    """
    text = io.StringIO()
    writer = csv.DictWriter(text, rows[0].keys(), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    files.write_bytes(path, text.getvalue().encode())


def table(found: Tally, classes: Legend) -> str:
    """What a person reads: a line per class that occurs, and what the map rests on."""
    lines = [f"{'class':32}{'pixels':>14}{'hectares':>14}{'share':>9}"]
    for row in found.rows(classes):
        if row["pixels"]:
            share = f"{row['share']:8.1%}" if row["share"] != "" else f"{'-':>8}"
            lines.append(
                f"{row['title'][:31]:32}{row['pixels']:14,d}{row['hectares']:14,.1f} {share}"
            )
    lines.append(f"{found.cubes} cubes, {describe_dates(found)}")
    for name, count in found.excluded.items():
        lines.append(f"{name} is not planted yet in {count} of them and was not claimed there")
    return "\n".join(lines)


def describe_dates(found: Tally) -> str:
    """What was seen and how long before harvest, in words."""
    first, last = found.window_ends
    ends = first if first == last else f"{first} to {last}"
    if found.leads is None:
        return f"images until {ends}, no harvest dates"
    low, high = found.leads
    days = f"{low}" if low == high else f"{low} to {high}"
    return f"images until {ends}, {days} days before harvest"
