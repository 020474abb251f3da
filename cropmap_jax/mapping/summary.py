"""What a map holds: pixels and hectares per class, over any number of cubes."""

import csv
import dataclasses
import datetime as dt
import io
import pathlib
from collections.abc import Iterable
from typing import Any, TypeVar

from cropmap_jax.geo import as_of_windows, files
from cropmap_jax.geo.legend import Legend
from cropmap_jax.geo.text import csv_cell
from cropmap_jax.mapping.metadata import METADATA, MapMetadata, last_image, read_metadata, values

NO_DATA, MASKED = "no_data", "masked"

Row = dict[str, Any]
"""One class, by column of `summary.csv`; "" where there is no value."""

_T = TypeVar("_T", int, str)


@dataclasses.dataclass
class Tally:
    """Sums over the metadata of cubes' maps.

    Args:
      pixels, hectares: by class name, with "none_of_these" and "no_data".
      leads: least and most days from the last image to harvest, by the name of each class that has
        a harvest date where it could be shown; negative after harvest began.
      last_images: earliest and latest end of the last period with an image, ISO dates; None where
        there is none.
      excluded: cubes in which a class was excluded, by class name.
      cubes: how many.
      masked: pixels that a mask leaves out, and their hectares.
    """

    pixels: dict[str, int]
    hectares: dict[str, float]
    leads: dict[str, tuple[int, int]] = dataclasses.field(default_factory=dict)
    last_images: tuple[str, str] | None = None
    excluded: dict[str, int] = dataclasses.field(default_factory=dict)
    cubes: int = 0
    masked: tuple[int, float] = (0, 0.0)

    @classmethod
    def of(cls, classes: Legend) -> "Tally":
        """An empty tally of a legend."""
        names = values(classes).values()
        return cls(dict.fromkeys(names, 0), dict.fromkeys(names, 0.0))

    def add(self, metadata: MapMetadata) -> None:
        """Counts the map of one cube."""
        self.cubes += 1
        for name, area in metadata["area"].items():
            self.pixels[name] += area["pixels"]
            self.hectares[name] += area["hectares"]
        if "masked" in metadata:
            self._mask(metadata["masked"]["pixels"], metadata["masked"]["hectares"])
        for name in metadata["excluded"]:
            self.excluded[name] = self.excluded.get(name, 0) + 1
        last = last_image(metadata)
        if last is None:
            return
        # The window may end with periods without an image.
        older = (dt.date.fromisoformat(metadata["window_end"]) - last).days
        for name, days in metadata["lead_days"].items():
            if days is not None and name not in metadata["excluded"]:
                self.leads[name] = _span(self.leads.get(name), [days + older])
        self.last_images = _span(self.last_images, [last.isoformat()])

    def _mask(self, pixels: int, hectares: float) -> None:
        self.masked = self.masked[0] + pixels, self.masked[1] + hectares

    @property
    def mapped(self) -> float:
        """Hectares of all pixels with a class or none of these."""
        return sum(self.hectares.values()) - self.hectares[NO_DATA]

    def rows(self, classes: Legend) -> list[Row]:
        """One row per class, none of these and no data included, and what is masked, if any is.

        Returns:
          class (name), title, pixels, hectares, share (0 to 1 of the mapped area), lead_days_min
          and lead_days_max (from the last image to harvest), last_image (the same in words).
        """
        titles = {c.name: c.title for c in classes.classes}
        titles |= {"none_of_these": "None of these", NO_DATA: "No data"}
        rows: list[Row] = [
            {
                "class": name,
                "title": titles[name],
                "pixels": self.pixels[name],
                "hectares": round(self.hectares[name], 4),
                "share": ""
                if name == NO_DATA or not self.mapped
                else round(self.hectares[name] / self.mapped, 6),
                **self._lead_columns(name),
            }
            for name in values(classes).values()
        ]
        if self.masked[0]:
            left_out = dict.fromkeys(rows[0], "") | {"class": MASKED, "title": "Masked (no data)"}
            rows.append(left_out | {"pixels": self.masked[0], "hectares": round(self.masked[1], 4)})
        return rows

    def _lead_columns(self, name: str) -> Row:
        lead = self.leads.get(name)
        low, high, words = (*lead, as_of_windows.describe_lead(*lead)) if lead else ("", "", "")
        return {"lead_days_min": low, "lead_days_max": high, "last_image": words}


def _span(known: tuple[_T, _T] | None, found: Iterable[_T]) -> tuple[_T, _T]:
    """The smallest and largest of all, which are at least one."""
    every = [*(known or ()), *found]
    return min(every), max(every)


def tally(out: pathlib.Path, cube_ids: Iterable[str], classes: Legend) -> Tally:
    """Sums the metadata of these cubes' maps, one at a time.

    Args:
      out: folder of the map.
      cube_ids: names of folders in it.
      classes: the legend.

    Raises:
      ValueError: names metadata that cannot be read, or that is of other classes.
    """
    result = Tally.of(classes)
    for cube_id in cube_ids:
        metadata = read_metadata(out / cube_id)
        if set(metadata["area"]) != set(result.pixels):
            raise ValueError(
                f"{out / cube_id / METADATA}: expected areas of {', '.join(result.pixels)}, found "
                f"those of {', '.join(metadata['area'])[:300]}; remove that folder, and run the "
                f"same command again"
            )
        result.add(metadata)
    return result


def merge(tallies: list[Tally], classes: Legend) -> Tally:
    """One tally of several."""
    result = Tally.of(classes)
    for one in tallies:
        result.cubes += one.cubes
        result._mask(*one.masked)
        for name in result.pixels:
            result.pixels[name] += one.pixels[name]
            result.hectares[name] += one.hectares[name]
        for name, count in one.excluded.items():
            result.excluded[name] = result.excluded.get(name, 0) + count
        for name, days in one.leads.items():
            result.leads[name] = _span(result.leads.get(name), days)
        if one.last_images:
            result.last_images = _span(result.last_images, one.last_images)
    return result


def write_csv(path: pathlib.Path, rows: list[Row]) -> None:
    """Writes rows as CSV, whose texts no spreadsheet takes for formulas.

    Args:
      path: file to write.
      rows: at least one, see `Tally.rows`.

    Raises:
      OSError: names the file.
    """
    text = io.StringIO()
    writer = csv.DictWriter(text, rows[0].keys(), lineterminator="\n")
    writer.writeheader()
    for row in rows:
        writer.writerow({k: csv_cell(v) if isinstance(v, str) else v for k, v in row.items()})
    files.write_bytes(path, text.getvalue().encode())


def table(found: Tally, classes: Legend) -> str:
    """What a person reads: a line per class that occurs, and how recent the images are."""
    lines = [f"{'class':32}{'pixels':>14}{'hectares':>14}{'share':>9}  last image"]
    for row in found.rows(classes):
        if row["pixels"]:
            share = f"{row['share']:8.1%}" if row["share"] != "" else f"{'-':>8}"
            title = one_line(row["title"])[:31]
            line = f"{title:32}{row['pixels']:14,d}{row['hectares']:14,.1f} {share}"
            lines.append(f"{line}  {row['last_image']}".rstrip())
    lines.append(f"{found.cubes} cube{'s' if found.cubes > 1 else ''}, {describe_dates(found)}")
    for name, count in found.excluded.items():
        cubes = "1 cube" if count == 1 else f"{count} cubes"
        lines.append(f"{name}: not mapped in {cubes}, where planting ends after this date")
    return "\n".join(lines)


def one_line(text: str) -> str:
    """A text of a user for one line of a terminal, a picture or XML: nothing unprintable."""
    # Joiners are letters' shapes in Persian and Hindi, printable or not.
    shown = "".join(c if c.isprintable() or c in "\u200c\u200d" else " " for c in text)
    return " ".join(shown.split())


def describe_dates(found: Tally) -> str:
    """Dates of the last images, and how long before harvest if that is the same for all classes."""
    if not found.last_images:
        return "no images"
    first, last = found.last_images
    ends = f"images until {first}" if first == last else f"images until {first} to {last}"
    if not found.leads:
        return f"{ends}, no harvest dates"
    return f"{ends}, {as_of_windows.describe_lead(*one)}" if (one := one_lead(found)) else ends


def one_lead(found: Tally) -> tuple[int, int] | None:
    """The smallest and largest lead in days, where those of all classes are the same."""
    spans = set(found.leads.values())
    return spans.pop() if len(spans) == 1 else None
