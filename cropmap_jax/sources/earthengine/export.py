"""What joins the parts of an export: its config, the graphs of its cubes, the plan and a pilot."""

import threading
import time
from collections.abc import Mapping, Sequence

from cropmap_jax.geo.periods import Period
from cropmap_jax.sources.earthengine import (
    graphs,
    orbits,
    pieces,
    planner,
    regions,
    targets,
    templates,
)
from cropmap_jax.sources.earthengine import options as options_lib
from cropmap_jax.sources.earthengine.client import Client
from cropmap_jax.sources.earthengine.manifest import Manifest
from cropmap_jax.sources.earthengine.timing import Timing

KINDS = ("regions", "tiles")


def read_config(config: Mapping) -> tuple[list[targets.Target], options_lib.Options]:
    """What to export and of what, from a config (`ConfigDict.to_dict()`).

    Raises:
      ValueError: names the key, what was found and what was expected.
    """
    value = dict(config)
    kind = value.pop("kind", "")
    if kind not in KINDS:
        raise ValueError(f"config.kind: expected one of {', '.join(KINDS)}, found {kind!r}")
    try:
        timing = Timing(
            **{k: _plain(value.pop(k)) for k in ("anchor", "num_periods", "lead_days", "months")
               if k in value}
        )  # fmt: skip
        options = options_lib.Options(
            options_lib.S1Options(**_plain(value.pop("s1", {}))),
            options_lib.S2Options(**_plain(value.pop("s2", {}))),
            options_lib.LabelOptions(**_plain(value.pop("label", {}))),
        )
    except TypeError as error:
        raise ValueError(f"config: {error}") from error
    expected = {"regions": {"regions", "fractions", "seed"}, "tiles": {"tiles", "crop"}}[kind]
    if set(value) - expected:
        wrong = sorted(set(value) - expected)[0]
        raise ValueError(
            f"config: expected keys among {', '.join(sorted(expected))}, found {wrong!r}"
        )
    if kind == "tiles":
        if not value.get("tiles"):
            raise ValueError("config.tiles: expected the tiles.geojson of prepare, found none")
        return targets.targets_of_tiles(value["tiles"], timing, value.get("crop", "")), options
    year = options.label.year if options.label.kind == "eucropmap" else None
    found = regions.read_regions(value.get("regions", {}))
    more = {k: value[k] for k in ("fractions", "seed") if k in value}
    return targets.targets_of_regions(found, timing, year, **more), options


def _plain(value):
    if isinstance(value, Mapping):
        return {k: _plain(v) for k, v in value.items()}
    return tuple(value) if isinstance(value, list) else value


class GraphSource:
    """The graph of each cube and sensor, see `jobs.Graphs`; asks for a cube's orbits first.

    Args:
      options: of the pixels.
      client: asked for the list of a cube's radar scenes.
      manifest: keeps the orbits chosen for a cube, so that scenes that are added while an export is
        interrupted do not make another choice, with which finished pixels would not go.
    """

    def __init__(self, options: options_lib.Options, client: Client, manifest: Manifest):
        self._options, self._client, self._manifest = options, client, manifest
        self._templates: dict[tuple, templates.Template] = {}
        # `ee` keeps what it builds in variables of its module.
        self._lock = threading.Lock()
        self.look_ups: list[float] = []
        """Seconds that each look-up of orbits took, waits and repetitions included."""

    def __call__(self, target, sensor: str) -> tuple[str, str, tuple[str, ...], dict]:
        """Expression (JSON), its digest, band names, and what the cube's source shall tell."""
        spans, options = tuple(target.periods), self._options
        facts = {}
        if sensor == "s2":
            make = self._template(
                sensor, spans, lambda box: graphs.s2_image(box, spans, options.s2)
            )
        elif sensor == "s1":
            way, numbers = self._orbits(target)
            facts = {"direction": way, "orbits": list(numbers)}
            make = self._template(
                (sensor, way, numbers),
                spans,
                lambda box: graphs.s1_image(box, spans, numbers, way, options.s1),
            )
        else:
            year = options.label.year
            make = self._template(sensor, (), lambda box: graphs.label_image(box, year))
        expression, digest = make.at(target.geobox)
        bands = pieces.bands_of(sensor, range(len(spans)), options.s2.count)
        return expression, digest, bands, facts

    def _orbits(self, target) -> tuple[str, tuple[int, ...]]:
        spans = tuple(target.periods)
        make = self._template(
            "orbits", spans, lambda box: graphs.orbit_table(box, spans, self._options.s1)
        )
        expression, digest = make.at(target.geobox)
        name = f"orbits {target.cube_id} {digest}"
        known = self._manifest.noted(name)
        if known is None:
            began = time.monotonic()
            table = self._client.compute(expression)
            self.look_ups.append(time.monotonic() - began)
            known = orbits.choose_orbits(table, spans)
            self._manifest.note(name, known)
        direction, numbers = known
        return direction, tuple(numbers)

    def _template(self, kind, spans: Sequence[Period], make) -> templates.Template:
        key = (kind, spans)
        with self._lock:
            if key not in self._templates:
                self._templates[key] = templates.Template(make)
            return self._templates[key]


def count_scenes(found: Sequence[targets.Target], client: Client) -> dict[str, dict[Period, int]]:
    """{place: {period: Sentinel-2 scenes}}, by one small request per province and season."""
    out = {}
    for place in planner.places(found):
        expression = templates.encode(graphs.scene_counts(place.box, place.periods))
        counts = client.compute(expression)
        out[place.name] = dict(zip(place.periods, map(int, counts), strict=True))
    return out


def measured(
    manifest: Manifest, cubes: int, look_ups: Sequence[float] = ()
) -> planner.Pilot | None:
    """What the requests in a manifest took, as a pilot of `cubes`; None where nothing was asked.

    Args:
      manifest: of the pilot's folder.
      cubes: of the pilot.
      look_ups: seconds of each look-up of orbits, of which the manifest does not tell.
    """
    seconds = {
        sensor: time / n for sensor, (n, time, _) in manifest.timings().items() if n and time
    }
    if look_ups:
        seconds[planner.ORBITS] = sum(look_ups) / len(look_ups)
    return planner.Pilot(seconds, cubes) if seconds and cubes else None
