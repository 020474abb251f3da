"""Pixels of scenes on a cube's grid, through odc-stac: nearest pixel, nothing shifted."""

import datetime as dt
import time
from collections.abc import Sequence

import numpy as np
import pystac
import rasterio.errors
import shapely
import shapely.geometry
from odc.geo.geobox import GeoBox

from cropmap_jax.geo import progress
from cropmap_jax.sources.stac.access import NO_IMAGE, Access
from cropmap_jax.sources.stac.errors import Gone, Refused, Unreachable, clean
from cropmap_jax.sources.stac.scenes import Scene

TRIES = 6
"""Attempts at one set of files, next to those of GDAL at one request."""
WAIT_S = 1.0
"""Before the second attempt; each further one waits twice as long, at most `MOST_WAIT_S`."""
MOST_WAIT_S = 30.0
_MARGIN_DEGREES = 0.02
"""By which footprints are taken for larger: catalogues simplify them. 2 km; it costs reads that
find nothing."""
_TIFF = "image/tiff; application=geotiff"
_FAULTS = (rasterio.errors.RasterioError, OSError)


class Reader:
    """Reads scenes of one catalogue.

    Args:
      access: to their files.
      threads: files that are read at once.
      sleep: waits so many seconds.
    """

    def __init__(self, access: Access, threads: int, sleep=time.sleep):  # type: ignore[no-untyped-def]
        self._access, self._threads, self._sleep = access, threads, sleep
        self.reads = 0
        self.seconds = 0.0

    def read(
        self, found: Sequence[Scene], bands: Sequence[str], box: GeoBox
    ) -> dict[str, np.ndarray]:
        """Reads bands of scenes.

        Args:
          found: N scenes, at least one.
          bands: names of their assets, see `Scene.assets`; a scene may lack some.
          box: the grid.

        Returns:
          {band: float32 [N, H, W]}, what the files hold, NaN where there is nothing.

        Raises:
          Gone: files are not there; read again without their scenes.
          Refused: they may not be read.
          Unreachable: they could not be read, after all attempts.
          ValueError: one is no GeoTIFF or JPEG 2000.
        """
        began = time.monotonic()
        try:
            out = self._load(found, bands, box, again=False)
        except _FAULTS:
            refused = self._look_into(found, bands, False) < 0
            # One by one from here on: of hundreds of files one may always be in trouble.
            each = []
            for scene in found:
                each.append(self._patiently(scene, bands, box, refused))
                refused = False  # the new token is good
            out = {band: np.concatenate([one[band] for one in each]) for band in bands}
        self.seconds += time.monotonic() - began
        self.reads += sum(band in scene.assets for scene in found for band in bands)
        return out

    def _patiently(
        self, scene: Scene, bands: Sequence[str], box: GeoBox, refused: bool
    ) -> dict[str, np.ndarray]:
        """As `read`, of one scene, with all attempts.

        Args:
          scene, bands, box: what is read.
          refused: whether the token has been renewed just now.
        """
        for attempt in range(TRIES):
            try:
                return self._load([scene], bands, box, again=True)
            except _FAULTS as error:
                kept = error
                wait = self._look_into([scene], bands, refused)
                refused = wait < 0
                if attempt + 1 < TRIES and not refused:
                    seconds = max(wait, min(WAIT_S * 2**attempt, MOST_WAIT_S))
                    with progress.waiting(f"files cannot be read, again in {seconds:.0f} s"):
                        self._sleep(seconds)
        bad = self._first_bad(scene, bands, box)
        raise Unreachable(f"{bad}: could not be read in {TRIES} attempts") from kept

    def _look_into(self, found: Sequence[Scene], bands: Sequence[str], refused: bool) -> float:
        """Why files could not be read: raises what stays, else seconds to wait; -1 at once, with
        a new token."""
        hrefs = {
            scene.assets[band].href: scene
            for scene in found
            for band in bands
            if band in scene.assets
        }
        states = self._access.probe(hrefs)
        gone = {hrefs[href].scene_id for href, (status, _) in states.items()
                if status in (404, 410)}  # fmt: skip
        if gone:
            raise Gone(sorted(gone))
        for href, (status, _) in states.items():
            if status == NO_IMAGE:
                raise ValueError(
                    f"item {hrefs[href].scene_id}: expected GeoTIFFs or JPEG 2000, found "
                    f"{clean(href)[-60:]!r} to be something else by its content"
                )
        denied = [hrefs[href] for href, (status, _) in states.items() if status in (401, 403)]
        if denied:
            if refused or not self._access.renew():
                status = next(s for s, _ in states.values() if s in (401, 403))
                raise Refused(
                    f"item {denied[0].scene_id}: refused with {status}: the token has expired or "
                    f"does not allow it; renew it and run the same command again"
                )
            return -1.0
        return max((wait for _, wait in states.values()), default=0.0)

    def _first_bad(self, scene: Scene, bands: Sequence[str], box: GeoBox) -> str:
        for band in bands:
            if band in scene.assets:
                try:
                    self._load([scene], [band], box, again=True)
                except _FAULTS:
                    return f"item {scene.scene_id}, {band}"
        return f"item {scene.scene_id}"

    def _load(
        self, found: Sequence[Scene], bands: Sequence[str], box: GeoBox, again: bool
    ) -> dict[str, np.ndarray]:
        out = {band: np.full((len(found), *box.shape), np.nan, np.float32) for band in bands}
        alike: dict[tuple[str, ...], list[int]] = {}
        for n, scene in enumerate(found):
            alike.setdefault(tuple(b for b in bands if b in scene.assets), []).append(n)
        # odc-stac takes what the first item has for what there is.
        for present, numbers in alike.items():
            if present:
                loaded = self._load_alike([found[n] for n in numbers], present, box, again)
                for band, values in loaded.items():
                    out[band][numbers] = values
        return out

    def _load_alike(
        self, found: Sequence[Scene], bands: Sequence[str], box: GeoBox, again: bool
    ) -> dict[str, np.ndarray]:
        """As `read`, of scenes that all have all bands."""
        import odc.stac

        from cropmap_jax.sources.stac.image_driver import ImageDriver

        items = [_item(scene, bands, self._access) for scene in found]
        assets = {band: {"data_type": "float32", "nodata": float("nan")} for band in bands}
        with self._access.env(again):
            loaded = odc.stac.load(
                items,
                bands=bands,
                geobox=box,
                groupby="id",
                dtype="float32",
                nodata=float("nan"),
                resampling="nearest",
                pool=self._threads,
                stac_cfg={_COLLECTION: {"assets": assets}},
                driver=ImageDriver(),
            )
        out = {}
        for band in bands:
            out[band] = loaded[band].to_numpy()
            for values, scene in zip(out[band], found, strict=True):
                nodata = scene.assets[band].nodata
                if np.isfinite(nodata):
                    values[values == np.float32(nodata)] = np.nan
        return out


_COLLECTION = "scenes"


def _item(scene: Scene, bands: Sequence[str], access: Access) -> pystac.Item:
    """An item for odc-stac, the same whatever catalogue it comes from: with the files' own grids
    left to the files, which know them better than some items."""
    outline = shapely.box(*scene.outline.buffer(_MARGIN_DEGREES).bounds)
    item = pystac.Item(
        scene.scene_id,
        shapely.geometry.mapping(outline),
        list(outline.bounds),
        dt.datetime(2000, 1, 1, tzinfo=dt.UTC),
        {},
        collection=_COLLECTION,
    )
    for band in bands:
        href = access.sign(scene.assets[band].href)
        item.add_asset(band, pystac.Asset(href, media_type=_TIFF, roles=["data"]))
    return item
