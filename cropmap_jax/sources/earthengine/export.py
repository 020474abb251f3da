"""Joins the parts of an export: its config, the graphs of its cubes, the plan and a pilot."""

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import ee
from odc.geo.geobox import GeoBox

from cropmap_jax.geo.landcover import LANDCOVER
from cropmap_jax.geo.periods import Period
from cropmap_jax.sources import radar_orbits, sentinel1, target_config, targets
from cropmap_jax.sources.earthengine import graphs, pieces, planner, service, templates
from cropmap_jax.sources.earthengine import options as options_lib
from cropmap_jax.sources.earthengine.client import Client
from cropmap_jax.sources.manifest import Manifest
from cropmap_jax.sources.target_config import inputs_of

__all__ = ["GraphSource", "count_scenes", "inputs_of", "measured", "read_config"]

KINDS = ("regions", "tiles")
_OPTIONS = {
    "s1": options_lib.S1Options,
    "s2": options_lib.S2Options,
    "label": options_lib.LabelOptions,
}


def read_config(config: Mapping[str, Any]) -> tuple[list[targets.Target], options_lib.Options]:
    """What to export and of what, from a config (`ConfigDict.to_dict()`).

    Raises:
      ValueError: names the key, what was found and what was expected.
    """
    kind = target_config.check_kind(config, KINDS)
    known = ("kind", *target_config.TIMING, *_OPTIONS, *target_config.OWN[kind])
    target_config.check_keys(config, known, "config")
    timing = target_config.read_timing(config)
    options: options_lib.Options = target_config.read_options(config, _OPTIONS, options_lib.Options)
    year = options.label.year if options.label.kind == "eucropmap" else None
    found = target_config.read_targets(config, timing, service.ARCHIVE, year)
    for spans in {target.periods for target in found}:
        sentinel1.usable(options.s1.platforms, spans)
    return found, options


class GraphSource:
    """The graph of each cube and sensor, see `workers.Graphs`; looks up a cube's orbits first.

    Args:
      options: of the pixels.
      client: requests the list of a cube's radar scenes.
      manifest: keeps the orbits chosen for a cube, so that scenes that are added while an export is
        interrupted do not make another choice, with which finished pixels would not go.
    """

    def __init__(self, options: options_lib.Options, client: Client, manifest: Manifest):
        self._options, self._client, self._manifest = options, client, manifest
        self._templates: dict[tuple[Any, ...], templates.Template] = {}
        # `ee` keeps what it builds in variables of its module.
        self._lock = threading.Lock()
        self.look_ups: list[float] = []
        """Seconds that each look-up of orbits took, waits and repetitions included."""

    def __call__(
        self, target: targets.Target, sensor: str, first: int = 0
    ) -> tuple[str, str, tuple[str, ...], dict[str, Any]]:
        """Expression (JSON), its digest, band names, and what the cube's source will record.

        Of the periods from number `first` on; orbits are chosen over all of them.
        """
        spans, options = tuple(target.periods[first:]), self._options
        facts: dict[str, Any] = {}
        if sensor == service.OPTICAL.name:
            make = self._template(
                sensor, spans, lambda box: graphs.s2_image(box, spans, options.s2)
            )
        elif sensor == service.RADAR.name:
            facts = self._passes(target)
            way, numbers = facts["direction"], tuple(facts["orbits"])
            make = self._template(
                (sensor, way, numbers),
                spans,
                lambda box: graphs.s1_image(box, spans, numbers, way, options.s1),
            )
        elif sensor == LANDCOVER:
            make = self._template(sensor, (), graphs.landcover_image)
        else:
            year = options.label.year
            make = self._template(sensor, (), lambda box: graphs.label_image(box, year))
        expression, digest = make.at(target.geobox)
        bands = pieces.bands_of(sensor, range(len(spans)), options.s2.count)
        return expression, digest, bands, facts

    def _passes(self, target: targets.Target) -> dict[str, Any]:
        """The direction and orbits of a cube, and its satellites' passes in each period."""
        spans = tuple(target.periods)
        make = self._template(
            "orbits", spans, lambda box: graphs.orbit_table(box, spans, self._options.s1)
        )
        expression, digest = make.at(target.geobox)
        name = f"orbits {target.cube_id} {digest}"
        known: dict[str, Any] | None = self._manifest.noted(name)
        if known is None:
            began = time.monotonic()
            table = self._client.compute(expression)
            self.look_ups.append(time.monotonic() - began)
            way, numbers = radar_orbits.choose_orbits(table, spans)
            known = {"direction": way, "orbits": list(numbers)}
            known["passes"] = sentinel1.count_passes(table, spans, way, numbers)
            early = sentinel1.count_passes(sentinel1.uncalibrated(table), spans, way, numbers)
            if any(early.values()):
                known["uncalibrated"] = {period: own for period, own in early.items() if own}
            self._manifest.note(name, known)
        return known

    def _template(
        self, kind: object, spans: Sequence[Period], make: Callable[[GeoBox], ee.ComputedObject]
    ) -> templates.Template:
        key = (kind, spans)
        with self._lock:
            if key not in self._templates:
                self._templates[key] = templates.Template(make)
            return self._templates[key]


def count_scenes(
    found: Sequence[targets.Target], options: options_lib.S1Options, client: Client
) -> tuple[dict[str, dict[Period, int]], dict[str, dict[Period, dict[str, int]]]]:
    """What there is, by one small request per place (province or cell) and season.

    Returns:
      {place: {period: Sentinel-2 scenes}}, {place: {period: {satellite: Sentinel-1 passes}}}.
    """
    scenes, passes = {}, {}
    for place in planner.places(found):
        graph = graphs.plan_table(place.box, place.periods, options)
        counts, rows = client.compute(templates.encode(graph))
        scenes[place.name] = dict(zip(place.periods, map(int, counts), strict=True))
        seen = sentinel1.count_passes(rows, place.periods, options.direction.replace("auto", ""))
        passes[place.name] = {period: seen[period.name] for period in place.periods}
    return scenes, passes


def measured(
    manifest: Manifest, cubes: int, look_ups: Sequence[float] = ()
) -> planner.Pilot | None:
    """What the requests in a manifest took, as a pilot of `cubes`; None where there was none.

    Args:
      manifest: of the pilot's folder.
      cubes: of the pilot.
      look_ups: seconds of each look-up of orbits, which the manifest does not hold.
    """
    seconds = {
        sensor: time / n for sensor, (n, time, _) in manifest.timings().items() if n and time
    }
    if look_ups:
        seconds[planner.ORBITS] = sum(look_ups) / len(look_ups)
    return planner.Pilot(seconds, cubes) if seconds and cubes else None
