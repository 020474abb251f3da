"""From scenes to composites of a period, a block of ground at a time.

Scenes of one take (a datatake of Sentinel-2, a pass of an orbit of Sentinel-1) are one observation,
however it was cut into tiles and whatever UTM zones these are of: at a pixel the first scene that
has data there counts, scenes of the cube's own zone before others.
"""

import dataclasses
from collections.abc import Callable, Sequence

import numpy as np
import scipy.ndimage
from odc.geo.geobox import GeoBox

from cropmap_jax.geo import composites, cube
from cropmap_jax.geo.periods import Period
from cropmap_jax.sources.stac.options import OPTICAL, RADAR, S1Options, S2Options
from cropmap_jax.sources.stac.scenes import Scene

Read = Callable[[Sequence[Scene], Sequence[str], GeoBox], dict[str, np.ndarray]]
"""(scenes, bands, grid) -> {band: float32 [scenes, H, W], NaN missing}."""
BLOCK_BYTES = 192 << 20
"""About so much of pixels is held at once: more scenes make smaller blocks."""
_NO_DATA = 0
"""Of the scene classification: there is no scene here."""


@dataclasses.dataclass(frozen=True)
class Look:
    """Which scene of an observation counts at each pixel of a block, and whether it is clear.

    Args:
      scenes: of the observation, in order.
      choice: int8 [H, W], index of the scene that counts; -1 for none.
      clear: bool [H, W].
    """

    scenes: Sequence[Scene]
    choice: np.ndarray
    clear: np.ndarray


def blocks(box: GeoBox, scenes: int, bands: int) -> list[tuple[slice, slice]]:
    """Rows and columns of blocks that hold few enough pixels of so many scenes and bands."""
    height, width = box.shape
    most = max(1, BLOCK_BYTES // (4 * max(1, scenes) * max(1, bands)))
    rows = max(1, min(height, most // width))
    return [
        (slice(top, min(top + rows, height)), slice(0, width)) for top in range(0, height, rows)
    ]


# Sentinel-2 ---------------------------------------------------------------------------------------


def optical(
    found: Sequence[Sequence[Scene]], box: GeoBox, options: S2Options, read: Read, period: Period
) -> tuple[np.ndarray, np.ndarray]:
    """The median of the clear observations of a period.

    Args:
      found: observations, see `scenes.observations`.
      box: the grid.
      options: assets, masks.
      read: reads scenes.
      period: that they are of.

    Returns:
      int16 [H, W, 10], reflectance x 10000, no-data where nothing is clear; uint8 [H, W], how many
      observations are clear in any band.
    """
    height, width = box.shape
    sensor = OPTICAL
    out = np.full((height, width, len(sensor.bands)), sensor.nodata, sensor.dtype)
    counts = np.zeros((height, width), np.uint8)
    number = sum(map(len, found))
    for rows, cols in blocks(box, number, len(sensor.bands) + 1) if number else []:
        looks = _looks(found, box[rows, cols], options, read)
        values, seen = _medians(looks, box[rows, cols], options, read, period)
        out[rows, cols], counts[rows, cols] = values, seen
    return out, counts


def _looks(
    found: Sequence[Sequence[Scene]], block: GeoBox, options: S2Options, read: Read
) -> list[Look]:
    """What the mask lets through; of takes that nothing is clear of, nothing."""
    margin = int(options.dilate_px)
    padded = block.pad(margin) if margin else block
    name = options.mask_name
    flat = [scene for own in found for scene in own if name in scene.assets]
    if not flat:
        return []
    masks = dict(zip((s.scene_id for s in flat), read(flat, [name], padded)[name], strict=True))
    inner = np.s_[margin : padded.shape[0] - margin, margin : padded.shape[1] - margin]
    looks = []
    for own in found:
        usable = [scene for scene in own if scene.scene_id in masks]
        choice = np.full(block.shape, -1, np.int8)
        clear = np.zeros(block.shape, bool)
        for n, scene in enumerate(usable):
            there, hidden = _hidden(masks[scene.scene_id], options)
            if margin:
                hidden = scipy.ndimage.binary_dilation(hidden, _disk(margin))
            new = there[inner] & (choice < 0)
            choice[new] = n
            clear[new] = ~hidden[inner][new]
        if clear.any():
            looks.append(Look(usable, choice, clear))
    return looks


def _hidden(values: np.ndarray, options: S2Options) -> tuple[np.ndarray, np.ndarray]:
    """Where there is a scene, and where something hides the ground in it, bool [H, W] each.

    Args:
      values: float32 [H, W], of the asset that tells clear pixels, NaN missing.
      options: how it tells.
    """
    there = np.isfinite(values)
    if options.mask == "classes":
        there &= values != _NO_DATA
        return there, there & np.isin(values, options.scl_masked)
    limit = np.float32(options.clear)
    with np.errstate(invalid="ignore"):
        hidden = values < limit if options.mask == "score" else values >= limit
    return there, there & hidden


def _disk(radius: int) -> np.ndarray:
    span = np.arange(-radius, radius + 1)
    inside: np.ndarray = span[:, None] ** 2 + span[None] ** 2 <= radius**2
    return inside


def _medians(
    looks: Sequence[Look], block: GeoBox, options: S2Options, read: Read, period: Period
) -> tuple[np.ndarray, np.ndarray]:
    sensor, bands = OPTICAL, list(options.assets)
    shape = tuple(block.shape)
    out = np.full((*shape, len(sensor.bands)), sensor.nodata, sensor.dtype)
    if not looks:
        return out, np.zeros(shape, np.uint8)
    # Scenes of which no clear pixel counts are not read further: in a cloudy month most are not.
    needed = [
        (k, n) for k, look in enumerate(looks) for n in range(len(look.scenes))
        if ((look.choice == n) & look.clear).any()
    ]  # fmt: skip
    flat = [looks[k].scenes[n] for k, n in needed]
    raw = read(flat, bands, block)
    any_band = np.zeros((len(looks), *shape), bool)
    for band in bands:
        stack = np.full((len(looks), *shape), np.nan, np.float32)
        for (k, n), scene, values in zip(needed, flat, raw.pop(band), strict=True):
            if band in scene.assets:
                own = scene.assets[band]
                at = (looks[k].choice == n) & looks[k].clear
                stack[k][at] = values[at] * np.float32(own.factor) + np.float32(own.shift)
        any_band |= np.isfinite(stack)
        made, _ = composites.composite(
            stack[..., None], [period] * len(stack), [period], sensor
        )  # of stored numbers: a median is of any unit
        out[..., sensor.bands.index(band)] = sensor.store(made[0, ..., 0])
    return out, np.minimum(any_band.sum(0), cube.MOST_CLEAR).astype(np.uint8)


# Sentinel-1 ---------------------------------------------------------------------------------------


def powers(found: Sequence[Scene], box: GeoBox, options: S1Options, read: Read) -> np.ndarray:
    """Linear power of scenes, float32 [N, H, W, 2], NaN where any band is missing or noise.

    Raises:
      ValueError: numbers that cannot be power: digital numbers.
    """
    raw = read(found, RADAR.bands, box)
    out = np.empty((len(found), *box.shape, len(RADAR.bands)), np.float32)
    for b, band in enumerate(RADAR.bands):
        for n, scene in enumerate(found):
            own = scene.assets[band]
            out[n, ..., b] = raw[band][n] * np.float32(own.factor) + np.float32(own.shift)
        del raw[band]
    if options.unit == "db":
        out = composites.db_to_linear(out)
    elif options.unit == "amplitude":
        out *= np.abs(out)  # of what is below 0, as of power, nothing counts
    for n, scene in enumerate(found):
        typical = float(np.median(out[n][np.isfinite(out[n])])) if np.isfinite(out[n]).any() else 0
        if typical > _MOST_POWER:
            raise ValueError(
                f"item {scene.scene_id}: expected backscatter in linear power (s1.unit), found a "
                f"median of {typical:.0f}: digital numbers of a product that is not calibrated?"
            )
    least = 0.0 if options.border_db is None else 10 ** (options.border_db / 10)
    with np.errstate(invalid="ignore"):
        valid = ((out > 0) & (out >= least)).all(-1)
    out[~valid] = np.nan
    return out


_MOST_POWER = 100.0
"""Linear; 20 dB, which half a scene never exceeds."""


def radar(
    found: Sequence[Scene], power: np.ndarray, orbits: Sequence[int], crs: str, options: S1Options
) -> np.ndarray:
    """The mean backscatter of a period, of one direction, in a fixed order of orbits.

    Args:
      found: N scenes of the direction and of any orbits, in order of time.
      power: float32 [N, H, W, 2], linear, NaN missing.
      orbits: relative orbit numbers, the most trusted first.
      crs: of the cube; see `scenes.observations`.
      options: whether orbits are taken in order or averaged.

    Returns:
      int16 [H, W, 2], dB x 100, no-data where nothing is.
    """
    shape = power.shape[1:]
    total = np.full(shape, np.nan, np.float32)
    takes: dict[tuple[str, ...], list[int]] = {}
    for n, scene in sorted(enumerate(found), key=lambda p: (p[1].crs != crs, p[1].scene_id)):
        takes.setdefault(scene.take, []).append(n)
    groups = [[orbit] for orbit in orbits] if options.orbits == "first" else [list(orbits)]
    for group in groups:
        seen = []
        for own in takes.values():
            if found[own[0]].orbit in group:
                merged = power[own[0]].copy()
                for n in own[1:]:
                    empty = np.isnan(merged)
                    merged[empty] = power[n][empty]
                seen.append(merged)
        if seen:
            mean = composites.mean(np.stack(seen))
            empty = np.isnan(total)
            total[empty] = mean[empty]
    return RADAR.encode(composites.linear_to_db(total))
