"""Cubes and datasets of them, from files or from `xarray.Dataset`s of a user's own."""

import dataclasses
import os
import pathlib
import warnings
from collections.abc import Mapping, Sequence

import numpy as np
import xarray as xr

from cropmap_jax.api import convention, values
from cropmap_jax.api import parts as parts_lib
from cropmap_jax.api.convention import TIME
from cropmap_jax.api.grids import Span
from cropmap_jax.api.values import Decoding
from cropmap_jax.geo import cube, cube_io, grid, splits
from cropmap_jax.geo.cube_io import RawCube
from cropmap_jax.geo.landcover import LANDCOVER
from cropmap_jax.geo.legend import Legend
from cropmap_jax.geo.sensors import Sensor

SCL = "SCL"
SCL_MASKED = (0, 1, 3, 8, 9, 10, 11)
"""Classes of Sentinel-2's scene classification that `fetch` masks, too: no data, defective, shadow,
cloud of medium and high probability, cirrus, snow.

Source: ESA, Sentinel-2 Level-2A scene classification (SentiWiki, S2 Products).
"""


@dataclasses.dataclass(frozen=True, repr=False)
class Cube:
    """One piece of ground: composites of each period by sensor, a label, and what is known of both.

    Args:
      raw: the cube, its pixels as they are stored.
    """

    raw: RawCube

    @property
    def info(self) -> cube.CubeInfo:
        """All of it but its pixels."""
        return self.raw.info

    def __repr__(self) -> str:
        info, (height, width) = self.info, self.info.shape
        first, last = info.periods[0].start, info.periods[-1].end
        return (
            f"<Cube {info.cube_id}: {height} x {width} pixels of {info.geobox.affine.a:g} m, "
            f"{len(info.periods)} periods from {first} to {last}, "
            f"{', '.join(sensor.name for sensor in info.sensors)}>"
        )

    @classmethod
    def read(cls, path: str | os.PathLike[str]) -> "Cube":
        """Reads the folder of a cube.

        Raises:
          ValueError: names the file, what was found and what was expected.
        """
        raw = cube_io.read_raw(path)
        info = dataclasses.replace(raw.info, path=None)
        return cls(
            dataclasses.replace(raw, info=info, fields=raw.fields if info.has_fields else None)
        )

    def write(self, folder: str | os.PathLike[str], overwrite: bool = False) -> pathlib.Path:
        """Writes it into `<folder>/<cube_id>/`, whole or not at all; the commands read it there.

        Raises:
          ValueError: a cube of that name is there already, or an inconsistent one.
          OSError: no space or no permission; nothing is left behind.
        """
        return cube_io.write_cube(self.raw, folder, overwrite)

    def to_xarray(self) -> xr.Dataset:
        """As `read_cube` returns it."""
        raw = self.raw
        pixels = {s.name: s.decode(raw.pixels[s.name]) for s in raw.info.sensors}
        return convention.to_xarray(
            cube.Cube(raw.info, pixels, raw.label, raw.fields, raw.clear, raw.landcover)
        )

    @classmethod
    def from_xarray(
        cls,
        data: xr.Dataset | Mapping[str, xr.Dataset],
        *,
        bands: Mapping[str, str | None] | None = None,
        scale: float | Mapping[str, float] = 1.0,
        offset: float | Mapping[str, float] = 0.0,
        units: Mapping[str, str] | None = None,
        composite: str | None = None,
        periods: Sequence[Span] | None = None,
        mask: str | None = None,
        masked: Sequence[int] = SCL_MASKED,
        sensors: Sequence[str | Sensor] | None = None,
        label: str | None = "label",
        fields: str | None = "fields",
        legend: Legend | Mapping[int, str] | None = None,
        none_of_these: Sequence[int] = (),
        harvest: parts_lib.Harvest | None = None,
        cube_id: str | None = None,
        split: str | None = None,
        season: str | None = None,
        backscatter: str | None = None,
    ) -> "Cube":
        """A cube from what odc-stac, Xee, openEO or anything else loads.

        What is expected: dimensions time, y, x; a CRS with true metres; a variable per band; a
        composite of each period, in dB and reflectance. A Dataset of `read_cube` is that. All else
        is said by an argument.

        Args:
          data: the Dataset, or one per sensor ({"s1": ..., "s2": ...}) of the same grid.
          bands: what a band is called, {"B4": "red"}; None for a band that is not there, whose
            values are missing. By default "B4", "B04" and "b04" are found.
          scale, offset: value = number * scale + offset; one for all, or by sensor or band:
            {"s2": 0.0001}.
          units: {"s1": "power"} for backscatter that is not in dB.
          composite: "month" or "dekad": values are observations of any dates, and are composited as
            `fetch` does it, each sensor in its own way (median of reflectance, mean power).
          periods: (first day, day after the last one) of each period; by default `time_bounds`, or
            the months or dekads of the dates.
          mask: variable with a class of each observation, such as "SCL"; None for none.
          masked: classes that hide the ground.
          sensors: names, or `Sensor`s of one's own; by default those with a band in the data.
          label: variable [y, x] of annotated classes, if it is there.
          fields: variable [y, x] of numbers of fields, if it is there.
          legend: codes of `label` and their names, {1: "wheat"}; other codes are unknown.
          none_of_these: codes of `label` that are known to be none of them.
          harvest: first day of harvest by crop, or calendar `Season`s.
          cube_id, split, season: name of the cube ("cube"); "train", "validation" or "test"
            ("test"); agricultural year (the years of its periods, "2021-2022").
          backscatter: what radar measures, "sigma0" or "gamma0_rtc"; where cubes, datasets and runs
            say it, the two are not mixed without a word.

        Raises:
          ValueError: one line: what was found and what was expected.

        Warns:
          UserWarning: backscatter that lies above 0 dB almost throughout, as linear power does.
        """
        decoding = Decoding(
            bands or {}, parts_lib.by_name(scale, 1.0), parts_lib.by_name(offset, 0.0), units or {}
        )
        parts = parts_lib.Parts(data, sensors, decoding)
        facts = parts.facts
        chosen = parts.sensors
        names = convention.variable_names(chosen)
        targets = parts.periods(composite, periods)
        pixels = {}
        for sensor in chosen:
            own, where = parts.of(sensor)
            found = values.find_variables(own, sensor, decoding, names)
            values.check_variables(own, sensor, found, where)
            hidden = None
            if mask in own.data_vars:
                hidden = parts_lib.hidden(own, mask, masked, where)
            power = decoding.units.get(sensor.name) == values.POWER
            numbers = values.stored(own, sensor, found, decoding, hidden, where)
            dates = parts_lib.days_of(own) if composite else None
            if not power:
                starts = [span.start for span in dates or targets]
                if note := values.describe_loud(numbers, sensor, starts):
                    warnings.warn(f"{where}: {note}", stacklevel=2)
            pixels[sensor.name] = values.finish(numbers, dates, targets, sensor, power)
        classes, codes = parts_lib.label_of(parts.first, label, legend, none_of_these, facts)
        calendar = facts.get("harvest", {})
        if harvest is not None:
            calendar = parts_lib.harvest_of(harvest)
        numbered = parts_lib.raster(parts.first, fields, np.uint32)
        clear = None
        if composite is None and cube.CLEAR in parts.first:
            clear = parts.first[cube.CLEAR].transpose(TIME, "y", "x").to_numpy().astype(np.uint8)
        cover = (
            parts_lib.raster(parts.first, LANDCOVER, np.uint8) if facts.get("landcover") else None
        )
        info = cube.CubeInfo(
            cube_id=cube_id or facts.get("cube_id") or "cube",
            geobox=parts.geobox,
            periods=targets,
            legend=classes,
            block=facts.get("block") or grid.block_id(parts.geobox),
            split=split or facts.get("split") or "test",
            season=season or facts.get("season") or parts_lib.season_of(targets),
            harvest=calendar,
            province=facts.get("province", ""),
            source=parts_lib.source_of(facts, chosen, backscatter),
            sensors=chosen,
            has_fields=numbered is not None,
            has_clear=clear is not None,
            landcover=facts.get("landcover") if cover is not None else None,
        )
        if info.split not in splits.SPLITS:
            raise ValueError(f"split: expected one of {splits.SPLITS}, found {info.split!r}")
        raw = RawCube(info, pixels, codes, numbered, clear, cover)
        cube.validate(raw, stored=True)
        return cls(raw)


def read_cube(path: str | os.PathLike[str]) -> xr.Dataset:
    """Reads a cube as an `xarray.Dataset`.

    Args:
      path: the cube's folder, with `item.json`.

    Returns:
      Dimensions time, y, x. A variable per band (VV, VH in dB, B2 ... B12 as reflectance), float32,
      NaN where missing; `label` and, where there, `fields`, `clear`, `landcover`. `time` is the
      first day of a period and `time_bounds` says both its ends; `spatial_ref` holds the CRS.

    Raises:
      ValueError: names the file, what was found and what was expected.
    """
    return Cube.read(path).to_xarray()
