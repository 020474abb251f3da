"""Graphs as text: what is sent, its digest, and one text for many places."""

import hashlib
import json
import re
from collections.abc import Callable
from typing import Any

import ee
from odc.geo.geobox import GeoBox

from cropmap_jax.geo import grid
from cropmap_jax.sources.earthengine import geometry


def encode(value: ee.ComputedObject) -> dict[str, Any]:
    """The expression of a graph as the REST API takes it: JSON-ready, equal for equal graphs."""
    expression: dict[str, Any] = ee.serializer.encode(value, for_cloud_api=True)
    return expression


def graph_digest(value: ee.ComputedObject) -> str:
    """SHA-256 (hex) of a graph: equal, in every run, for graphs that compute the same way."""
    return hashlib.sha256(_text(value).encode()).hexdigest()


class Template:
    """The graphs of many cubes that differ in their place only: made once, placed often.

    `ee` takes about a tenth of a second to build the graphs of 19 months, which would hold up an
    export of thousands of cubes; a template puts each place into the text of one graph.

    Args:
      make: grid -> graph, e.g. `lambda geobox: graphs.s2_image(geobox, periods, options)`.

    Raises:
      ValueError: the graph depends on more of the grid than its place; or what `make` raises.
    """

    def __init__(self, make: Callable[[GeoBox], ee.ComputedObject]):
        here, there = (grid.tile_geobox(32631, col, 4000) for col in (412, 389))
        corners = [_compact(corner) for corner in geometry.ring(here)]
        # Odd parts are indices of corners, even ones the text between.
        parts = re.split(f"({'|'.join(map(re.escape, corners))})", _text(make(here)))
        self._between = parts[::2]
        self._corners = [corners.index(part) for part in parts[1::2]]
        if self._placed(there) != _text(make(there)):
            raise ValueError("template: expected a graph that depends on the grid's place only")

    def at(self, geobox: GeoBox) -> tuple[str, str]:
        """The graph of a grid: its expression, JSON of what `encode` gives, and `graph_digest`.

        Raises:
          ValueError: a grid across the antimeridian.
        """
        text = self._placed(geobox)
        return text, hashlib.sha256(text.encode()).hexdigest()

    def _placed(self, geobox: GeoBox) -> str:
        ring = [_compact(corner) for corner in geometry.ring(geobox)]
        corners = (ring[i] for i in self._corners)
        pairs = zip(self._between, (*corners, ""), strict=True)
        return "".join(text for pair in pairs for text in pair)


def _text(value: ee.ComputedObject) -> str:
    return _compact(encode(value))


def _compact(value: Any) -> str:
    return json.dumps(value, sort_keys=True, separators=(",", ":"))
