"""What the fault server answers: pixels that hold their own place, and errors.

The messages of the errors are the service's own where they are known; each says whence.
"""

import collections
import dataclasses
import functools
import hashlib
import io
import re

import numpy as np

NODATA = -32768
VALUES = 2**14
"""int16 bands hold 0..16383: a reflectance up to 1.6 or, for S1, up to 164 dB."""
MAX_BYTES = 48 * 2**20
MAX_SIDE_PX = 32_768
MAX_BANDS = 1024

# kind -> HTTP status, status of the error, message. {project}: of the request.
ERRORS = {
    # github.com/sepal-contrib/se.plan/issues/102
    "429": (429, "RESOURCE_EXHAUSTED", "Too many concurrent aggregations."),
    "500": (500, "INTERNAL", "An internal error has occurred."),
    "503": (503, "UNAVAILABLE", "The service is currently unavailable."),
    # developers.google.com/earth-engine/guides/debugging
    "memory": (400, "INVALID_ARGUMENT", "User memory limit exceeded."),
    "timeout": (400, "INVALID_ARGUMENT", "Computation timed out."),
    "bad_expression": (400, "INVALID_ARGUMENT", "Image.select: Band pattern 'B99' was invalid."),
    "asset": (
        400,
        "INVALID_ARGUMENT",
        "ImageCollection.load: ImageCollection asset 'NO/SUCH' not found (does not exist or caller"
        " does not have access).",
    ),
    "404": (404, "NOT_FOUND", "Requested entity was not found."),
    "401": (
        401,
        "UNAUTHENTICATED",
        "Request had invalid authentication credentials. Expected OAuth 2 access token, login"
        " cookie or other valid authentication credential.",
    ),
    # github.com/nasaharvest/street2sat/pull/51
    "403": (
        403,
        "PERMISSION_DENIED",
        "Caller does not have required permission to use project {project}. Grant the caller the"
        " roles/serviceusage.serviceUsageConsumer role, or a custom role with the"
        " serviceusage.services.use permission, by visiting"
        " https://console.developers.google.com/iam-admin/iam/project?project={project} and then"
        " retry.",
    ),
    # github.com/healthysustainablecities/global-indicators/issues/547
    "not_registered": (
        403,
        "PERMISSION_DENIED",
        "Project {project} is not registered to use Earth Engine. Visit"
        " https://code.earthengine.google.com/register?project={project} to register your"
        " project. See https://developers.google.com/earth-engine/guides/access for more details.",
    ),
    # github.com/google/earthengine-community/issues/762
    "api_disabled": (
        403,
        "PERMISSION_DENIED",
        "Google Earth Engine API has not been used in project {project} before or it is disabled."
        " Enable it by visiting https://console.developers.google.com/apis/api/"
        "earthengine.googleapis.com/overview?project={project} then retry.",
    ),
    # Google's wording for any metric that is used up. What Earth Engine says was not seen.
    "quota": (
        429,
        "RESOURCE_EXHAUSTED",
        "Quota exceeded for quota metric 'Earth Engine compute time (EECU-seconds)' and limit"
        " 'EECU-seconds per month' of service 'earthengine.googleapis.com' for consumer"
        " 'project_number:1'.",
    ),
}
BROKEN = ("truncated", "short", "slow", "hang", "wrong_size", "dropped", "redirect", "restricted")
"""truncated: half of the bytes that Content-Length announces. short: half of them, announced as
such. slow: the body over `seconds`. hang: nothing for `seconds`, then closed. wrong_size: one row
too few. dropped: reset, no answer. redirect: to an address outside. restricted: right, with the
header that says that the month's compute is used up and the project may do little at once
(ee/data.py, _handle_response_headers)."""
WHOLE = ("slow", "restricted")
"""Those of them that are right in the end."""
TOKEN_ERRORS = {"invalid_grant": (400, "invalid_grant", "Token has been expired or revoked.")}
RESTRICTED = ("x-earth-engine-quota-status", "parallelism_restricted=true")


@dataclasses.dataclass(frozen=True)
class Ask:
    """One request, as the faults see it: which, its number among those, its key's attempt."""

    on: str
    key: str
    values: int
    number: int
    attempt: int


@dataclasses.dataclass(frozen=True)
class Fault:
    """What to do wrong, and when: the first of the settings' faults that applies is sent.

    Args:
      kind: one of ERRORS, BROKEN, TOKEN_ERRORS.
      on: "pixels", "value", "algorithms", "discovery" or "token": which requests.
      share: with this probability, drawn from seed, key and attempt: not from the order of arrival.
      numbers: these requests, counted from 1 over all of `on`.
      first: the first so many requests of each key. (None of the three: always.)
      match: only keys that hold this text.
      above: only requests for more values (pixels x bands) than this.
      retry_after: header Retry-After, in seconds; None for none.
      seconds: how long "slow" and "hang" last.
    """

    kind: str
    on: str = "pixels"
    share: float = 0.0
    numbers: tuple[int, ...] = ()
    first: int = 0
    match: str = ""
    above: int | None = None
    retry_after: float | None = None
    seconds: float = 1.0

    def __post_init__(self):
        if self.kind not in {*ERRORS, *BROKEN, *TOKEN_ERRORS}:
            raise ValueError(f"Fault: expected one of {[*ERRORS, *BROKEN]}, found {self.kind!r}")

    def applies(self, ask: Ask, seed: int, index: int) -> bool:
        """Whether this request fails so; `index`: the fault's place among the settings'."""
        if self.on != ask.on or self.match not in ask.key:
            return False
        if self.above is not None and ask.values <= self.above:
            return False
        if not (self.share or self.numbers or self.first):
            return True
        drawn = _unit(f"{seed}/{index}/{ask.key}/{ask.attempt}") < self.share
        return drawn or ask.number in self.numbers or ask.attempt <= self.first


@dataclasses.dataclass(frozen=True)
class Settings:
    """How to answer.

    Args:
      faults: see `Fault`; those of the first that applies.
      seed: of the faults' `share`.
      latency_s: every answer to "pixels" takes at least so long.
      label_dtype: of bands that are not p<period>_<band>; those are int16.
      label_values: what such bands may hold; () for any of their type.
      value: the result of every "value": a list.
      missing: beginnings of the names of bands that hold NODATA everywhere, e.g. ("p03_B",).
      max_in_flight: more "pixels" requests at once than this get 429; None for any number.
      token: where set, requests without this bearer token get 401; /token gives it.
    """

    faults: tuple[Fault, ...] = ()
    seed: int = 0
    latency_s: float = 0.0
    label_dtype: str = "uint8"
    label_values: tuple[int, ...] = ()
    value: tuple = ()
    missing: tuple[str, ...] = ()
    max_in_flight: int | None = None
    token: str | None = None

    def changed(self, **fields) -> "Settings":
        """A copy with these fields changed; lists and dicts, as JSON has them, are converted."""
        if "faults" in fields:
            fields["faults"] = tuple(
                fault if isinstance(fault, Fault) else Fault(**{**fault, **_tuples(fault)})
                for fault in fields["faults"]
            )
        return dataclasses.replace(self, **{**fields, **_tuples(fields)})


def _tuples(fields: dict) -> dict:
    return {name: tuple(value) for name, value in fields.items() if isinstance(value, list)}


def _unit(text: str) -> float:
    """From a text to [0, 1), evenly."""
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") / 2**64


# Pixels


def is_sensor_band(name: str) -> bool:
    """Whether a band is one of S1 or S2, p<period>_<band>, which are int16."""
    return re.match(r"p\d+_", name) is not None


@functools.lru_cache(maxsize=65536)
def _band_seed(crs: str, band: str) -> tuple[int, int]:
    digest = hashlib.sha256(f"{crs}/{band}".encode()).digest()
    return int.from_bytes(digest[:2], "big"), int.from_bytes(digest[2:4], "big") | 1


@functools.lru_cache(maxsize=8)
def _factors(crs: str, bands: tuple[str, ...], pixels: int) -> np.ndarray:
    """uint16 [pixels * bands]: of each value. Whole, as numpy is slow along short axes."""
    return np.tile(np.array([_band_seed(crs, name)[1] for name in bands], np.uint16), pixels)


def _places(grid: dict) -> np.ndarray:
    """uint16 [height, width]: each pixel centre's x and y, to a thousandth of a unit, mixed up."""
    affine = grid["affineTransform"]
    cols = np.arange(grid["dimensions"]["width"]) + 0.5
    rows = np.arange(grid["dimensions"]["height"])[:, None] + 0.5
    x = affine["translateX"] + affine["scaleX"] * cols
    y = affine["translateY"] + affine["scaleY"] * rows
    if affine.get("shearX") or affine.get("shearY"):
        x, y = x + affine.get("shearX", 0.0) * rows, y + affine.get("shearY", 0.0) * cols
    x, y = (np.round(values * 1000).astype(np.int64).astype(np.uint64) for values in (x, y))
    mixed = (x * np.uint64(0x9E3779B97F4A7C15)) ^ (y * np.uint64(0xC2B2AE3D27D4EB4F))
    mixed ^= mixed >> np.uint64(29)
    return (mixed * np.uint64(0xBF58476D1CE4E5B9) >> np.uint64(48)).astype(np.uint16)


def dtype_of(bands, settings: Settings) -> np.dtype:
    """Of an answer: a field per band."""
    label = np.dtype(settings.label_dtype).newbyteorder("<")
    return np.dtype([(name, "<i2" if is_sensor_band(name) else label) for name in bands])


def expected(grid: dict, bands, settings: Settings = Settings()) -> np.ndarray:
    """What the server answers.

    Args:
      grid: as of the request: dimensions, affineTransform, crsCode.
      bands: names, in order.
      settings: what the server was told; only label_dtype, label_values and missing matter.

    Returns:
      Structured [height, width], a field per band as the service answers NPY: int16 where the
      name is p<period>_<band>, else `label_dtype`. `expected(...)["p00_B2"]` is one band.
    """
    size = grid["dimensions"]
    answer = np.empty((size["height"], size["width"]), dtype_of(bands, settings))
    _fill(answer, grid, tuple(bands), settings)
    return answer


def _fill(answer: np.ndarray, grid: dict, bands: tuple[str, ...], settings: Settings):
    """Writes the values; at once and in place: 200 requests a second are to be kept up with."""
    places, crs = _places(grid), grid["crsCode"]
    sensors = all(is_sensor_band(name) for name in bands)
    shape = (*places.shape, len(bands))
    mixed = answer.view(np.uint16).reshape(shape) if sensors else np.empty(shape, np.uint16)
    seeds = np.array([_band_seed(crs, name)[0] for name in bands], np.uint16)
    np.bitwise_xor(places[:, :, None], seeds, out=mixed)
    flat = mixed.reshape(-1)
    flat *= _factors(crs, bands, places.size)
    gone = [i for i, name in enumerate(bands) if name.startswith(settings.missing or ("\0",))]
    if sensors:
        flat >>= np.uint16(2)  # to VALUES
        if gone:
            mixed[:, :, gone] = np.uint16(NODATA & 0xFFFF)
        return
    for i, name in enumerate(bands):
        if is_sensor_band(name):
            answer[name] = NODATA if i in gone else mixed[:, :, i] >> np.uint16(2)
        else:
            top = min(np.iinfo(answer.dtype[name]).max, 65535)
            choice = np.array(settings.label_values or range(top + 1))
            answer[name] = 0 if i in gone else choice[mixed[:, :, i] % len(choice)]


@functools.lru_cache(maxsize=256)
def _header(dtype: np.dtype, shape: tuple[int, int]) -> bytes:
    """What comes before the values in an NPY file."""
    about = {"descr": np.lib.format.dtype_to_descr(dtype), "fortran_order": False, "shape": shape}
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(header, about)  # as np.save does: 64 KiB of names fit
    return header.getvalue()


class Pool:
    """Buffers that are used again: new ones of megabytes cost more than what is written in."""

    def __init__(self):
        self._free = collections.defaultdict(list)

    def npy(self, grid: dict, bands: tuple[str, ...], settings: Settings) -> bytearray:
        """`expected` as an NPY file; to be given back once it was sent."""
        dtype, size = dtype_of(bands, settings), grid["dimensions"]
        shape = (size["height"], size["width"])
        header = _header(dtype, shape)
        count = shape[0] * shape[1]
        length = len(header) + count * dtype.itemsize
        try:
            buffer = self._free[length].pop()
        except IndexError:
            buffer = bytearray(length)
        buffer[: len(header)] = header
        values = np.frombuffer(buffer, dtype, count, len(header)).reshape(shape)
        _fill(values, grid, bands, settings)
        return buffer

    def give_back(self, buffer: bytearray):
        """Keeps as many of a size as may be in flight, and few sizes."""
        if len(self._free) > 64:
            self._free.clear()
        if len(self._free[len(buffer)]) < 64:
            self._free[len(buffer)].append(buffer)


def key_of(grid: dict, bands) -> str:
    """Names a request: its CRS, origin, scale, size and bands (their number and a digest)."""
    affine, size = grid["affineTransform"], grid["dimensions"]
    digest = hashlib.sha256(",".join(bands).encode()).hexdigest()[:12]
    return (
        f"{grid['crsCode']}|{affine['translateX']:.12g},{affine['translateY']:.12g}"
        f"|{affine['scaleX']:.12g},{affine['scaleY']:.12g}"
        f"|{size['width']}x{size['height']}|{len(bands)}:{bands[0]}:{digest}"
    )
