"""A simulated world as a static STAC catalogue of scenes, for trying what fetches from one.

    <scenes>/catalog.json
    <scenes>/<collection>/collection.json
    <scenes>/<collection>/<site>/catalog.json  <scene>/<scene>.json  <scene>/<asset>.tif

A site's folder is written under a temporary name and renamed, so one that is there is whole.
"""

import contextlib
import functools
import json
import os
import pathlib
from collections.abc import Callable, Iterable
from typing import Any

import pystac

from cropmap_jax import scheduling
from cropmap_jax.geo import files, schemas
from cropmap_jax.geo.periods import to_day
from cropmap_jax.sources.simulator import scene_files, scene_plan, sites

COLLECTIONS = {
    scene_files.OPTICAL: "Sentinel-2 Level-2A, simulated: reflectance as digital numbers, SCL",
    scene_files.RADAR: "Sentinel-1 IW, simulated: sigma-0 in linear power",
}
_CATALOG, _SOURCE = "catalog.json", "cropmap:source"


def write(
    settings: sites.Settings,
    scenes_dir: str | os.PathLike[str],
    progress: Callable[..., Iterable[scheduling.Done]] = lambda iterable, **_: iterable,
    scheduler: scheduling.Scheduler | None = None,
) -> int:
    """Writes the scenes of every site that are not there yet, and the catalogue.

    Args:
      settings: what is simulated; the same as of the cubes.
      scenes_dir: folder of the catalogue, made if absent.
      progress: wraps an iterable, called with `total`, `unit` and `desc`.
      scheduler: whose workers write, a site each; None for this process.

    Returns:
      How many scenes the catalogue holds.

    Raises:
      ValueError: scenes that are there were simulated with other settings; names the file.
      OSError: no space or no permission.
    """
    root = pathlib.Path(scenes_dir)
    todo = []
    for site in sites.list_sites(settings):
        there = [_is_there(root / name / site_name(site), settings) for name in COLLECTIONS]
        if not all(there):
            todo.append(site)
    for name in COLLECTIONS:
        (root / name).mkdir(parents=True, exist_ok=True)
        files.tidy(root / name)
    tasks = [(settings, site, root.absolute()) for site in todo]
    run = (scheduler or scheduling.Scheduler()).run
    with contextlib.closing(run(_write_site, tasks, lambda task: site_name(task[1]))) as ended:
        for done in progress(ended, total=len(todo), unit="site", desc="scenes"):
            done.result()
    return _write_catalogue(root)


def site_name(site: sites.Site) -> str:
    """Name of a site: its place, the same however many there are."""
    return f"{site.region.epsg}-{site.col:04d}-{site.row:05d}"


def _is_there(folder: pathlib.Path, settings: sites.Settings) -> bool:
    file = folder / _CATALOG
    if not folder.exists():
        return False
    found = schemas.read_json(file, "a catalogue of scenes").get(_SOURCE, {})
    expected = _source(settings)
    differ = [
        f"{key}: {found.get(key)!r} there, {expected.get(key)!r} requested"
        for key in sorted({*found, *expected})
        if found.get(key) != expected.get(key)
    ]
    if differ:
        raise ValueError(
            f"{file}: expected scenes simulated with the same settings, found {'; '.join(differ)}; "
            f"expected another folder for --scenes"
        )
    return True


def _source(settings: sites.Settings) -> dict[str, Any]:
    """What scenes depend on: all that cubes do but their labels."""
    labels = ("label", "map_errors", "annotated", "negatives", "landcover", "landcover_errors")
    return {key: value for key, value in sites.source(settings).items() if key not in labels}


def _write_site(settings: sites.Settings, site: sites.Site, root: pathlib.Path) -> None:
    ground, scenes = sites.observe_site(settings, site)
    box, name = scene_files.site_geobox(settings, site), site_name(site)
    first, last = settings.periods[0], settings.periods[-1]
    middle = (to_day(first.start) + to_day(last.end)) // 2
    optical = scene_plan.optical_scenes(name, scenes)
    radar = scene_plan.radar_scenes(name, scenes, middle)
    finals = {key: root / key / name for key in COLLECTIONS}
    with (
        files.replacing(finals[scene_files.OPTICAL]) as optical_part,
        files.replacing(finals[scene_files.RADAR]) as radar_part,
    ):
        parts = {scene_files.OPTICAL: optical_part, scene_files.RADAR: radar_part}
        items: dict[str, list[str]] = {key: [] for key in COLLECTIONS}

        def keep(key: str, scene_id: str, write: Callable[[pathlib.Path], pystac.Item]) -> None:
            folder = parts[key] / scene_id
            folder.mkdir(parents=True)
            _finish(write(folder), key, folder)
            items[key].append(scene_id)

        for powers, images in scene_files.site_images(settings, ground, scenes):
            for one in optical:
                if one.index in images:
                    keep(
                        scene_files.OPTICAL, one.scene_id,
                        functools.partial(scene_files.write_optical, one, images[one.index], box),
                    )  # fmt: skip
            for own in radar:
                if own.index in powers:
                    keep(
                        scene_files.RADAR, own.scene_id,
                        functools.partial(scene_files.write_radar, own, powers[own.index], box),
                    )  # fmt: skip
        for key, part in parts.items():
            part.mkdir(exist_ok=True)
            links = [_link("item", f"./{one}/{one}.json") for one in items[key]]
            links += [_link("root", "../../catalog.json"), _link("parent", "../collection.json")]
            value = _catalogue(f"{key}-{name}", f"Scenes of site {name}", links)
            scene_files.write_json(part / _CATALOG, value | {_SOURCE: _source(settings)})


def _finish(item: pystac.Item, collection: str, folder: pathlib.Path) -> None:
    value = item.to_dict(include_self_link=False)
    value["collection"] = collection
    value["links"] = [
        _link("root", "../../../catalog.json"),
        _link("parent", "../catalog.json"),
        _link("collection", "../../collection.json"),
    ]
    (folder / f"{item.id}.json").write_text(json.dumps(value, indent=1) + "\n")


def _link(rel: str, href: str) -> dict[str, str]:
    return {"rel": rel, "href": href, "type": "application/json"}


def _catalogue(name: str, text: str, links: list[dict[str, str]]) -> dict[str, Any]:
    return {
        "type": "Catalog",
        "id": name,
        "stac_version": "1.1.0",
        "description": text,
        "links": links,
    }


def _write_catalogue(root: pathlib.Path) -> int:
    count = 0
    for key, text in COLLECTIONS.items():
        boxes, times, links = [], [], []
        for folder in sorted((root / key).iterdir()):
            if not (folder / _CATALOG).is_file() or files.unfinished(folder):
                continue
            links.append(_link("child", f"./{folder.name}/{_CATALOG}"))
            for file in folder.glob("*/*.json"):
                item = json.loads(file.read_text())
                boxes.append(item["bbox"])
                times.append(item["properties"]["datetime"])
        count += len(times)
        west, south, east, north = zip(*boxes, strict=True) if boxes else ((0,), (0,), (0,), (0,))
        value = _catalogue(key, text, [_link("root", "../catalog.json"), *links])
        value |= {
            "type": "Collection",
            "license": "CC0-1.0",
            "extent": {
                "spatial": {"bbox": [[min(west), min(south), max(east), max(north)]]},
                "temporal": {"interval": [[min(times, default=None), max(times, default=None)]]},
            },
        }
        scene_files.write_json(root / key / "collection.json", value)
    children = [_link("child", f"./{key}/collection.json") for key in COLLECTIONS]
    scene_files.write_json(
        root / _CATALOG,
        _catalogue("simulated", "Simulated scenes, cropmap_jax", children),
    )
    return count
