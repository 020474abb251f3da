"""A loopback server that evaluates the expression graphs it is sent, over `catalogue`'s scenes.

It tests our reading of Earth Engine, not Earth Engine: where the documentation is silent, what is
said here is what we believe. It knows the algorithms in `ALGORITHMS` and no other, of those the
arguments that our graphs pass, and refuses the rest (status 400) instead of guessing.

    with GraphServer() as server:
        ...  # ask server.url; server.asked lists what was asked for

What it does as the documentation says (developers.google.com/earth-engine/):
  * pixels are taken at the centres of the request's grid from the nearest pixel of every scene, and
    everything is computed there (guides/scale, guides/resample);
  * every band has a mask; the reducers of a collection skip masked pixels (guides/ic_reducing);
  * `unmask` reaches beyond the footprint only with sameFootprint=False (apidocs/ee-image-unmask);
  * `mosaic` shows, band by band, the last image with a valid pixel (guides/ic_composite_mosaic);
  * dates are filtered half open, in UTC (apidocs/ee-imagecollection-filterdate);
  * casts to integers cut the fraction off and clamp (apidocs/ee-number-toint16, of images we
    believe the same);
  * `linkCollection` masks what it finds no image for (apidocs/ee-image-linkcollection).

What we believe without having read it: the reduction of an empty collection has no bands; an
operation on two bands is masked where either is, and the reduction of an image's bands where all
are; the median of an even number is the mean of the
two in the middle; arithmetic drops an image's properties; the footprint of a reduction is the union
of the images' footprints; NPY holds 0 where a band is masked.

What differs: masks are 0 or 1, where Earth Engine has fractions; arithmetic is done in double and
rounded to float only by `toFloat`; bands are selected by name, never by pattern, and those of two
images are paired in order; polygons have straight edges in degrees; collections, and with them what
a mosaic shows on top, are in the order of `system:index`; nothing is tiled or limited.
"""

import dataclasses
import datetime as dt
import functools
import http.server
import io
import json
import operator
import pathlib
import re
import threading
from collections.abc import Callable

import catalogue
import numpy as np
import pyproj
import shapely

EVERYWHERE = shapely.box(-180, -90, 180, 90)
GEOD = pyproj.Geod(ellps="WGS84")


class Refused(Exception):
    """What the service would refuse, or this server does not know."""


@dataclasses.dataclass(frozen=True)
class Grid:
    """Where pixels are asked for; affine = (scale_x, shear_x, x, shear_y, scale_y, y)."""

    shape: tuple[int, int]
    affine: tuple[float, ...]
    crs: str

    @classmethod
    def read(cls, grid: dict) -> "Grid":
        names = ("scaleX", "shearX", "translateX", "shearY", "scaleY", "translateY")
        # A field that is left out of JSON is zero.
        affine = tuple(float(grid["affineTransform"].get(name, 0)) for name in names)
        size = grid["dimensions"]
        return cls((size["height"], size["width"]), affine, grid["crsCode"])


@functools.lru_cache(maxsize=16)
def _centres(grid: Grid, crs: str) -> tuple[np.ndarray, np.ndarray]:
    """x and y in `crs` of the centre of every pixel, [height, width]."""
    rows, cols = np.indices(grid.shape) + 0.5
    a, b, c, d, e, f = grid.affine
    to_crs = pyproj.Transformer.from_crs(grid.crs, crs, always_xy=True)
    return to_crs.transform(a * cols + b * rows + c, d * cols + e * rows + f)


@dataclasses.dataclass(frozen=True)
class Pixels:
    """One band on the request's grid: values [H, W] and valid bool [H, W]."""

    values: np.ndarray
    valid: np.ndarray


@dataclasses.dataclass(frozen=True)
class Image:
    """Bands are computed when asked for, given the grid: (Grid) -> Pixels."""

    bands: dict[str, Callable[[Grid], Pixels]]
    properties: dict = dataclasses.field(default_factory=dict)
    footprint: shapely.Geometry = EVERYWHERE

    def get(self, name: str):
        return self.footprint if name in (".all", ".geo") else self.properties.get(name)


@functools.lru_cache(maxsize=1024)
def _sample(raster: catalogue.Raster, grid: Grid) -> Pixels:
    x, y = _centres(grid, str(raster.geobox.crs))
    a = raster.geobox.affine
    col = np.floor((x - a.c) / a.a).astype(int)
    row = np.floor((y - a.f) / a.e).astype(int)
    height, width = raster.values.shape
    inside = (row >= 0) & (row < height) & (col >= 0) & (col < width)
    row, col = np.where(inside, row, 0), np.where(inside, col, 0)
    return Pixels(raster.values[row, col], inside & raster.valid[row, col])


@functools.cache
def _collection(name: str) -> tuple[Image, ...]:
    def image(scene):
        bands = {n: functools.partial(_sample, r) for n, r in scene.bands.items()}
        return Image(bands, {**scene.properties, "system:index": scene.index}, scene.footprint)

    scenes = catalogue.scenes().get(name)
    if scenes is None:
        raise Refused(f"ImageCollection.load: ImageCollection asset '{name}' not found.")
    return tuple(image(scene) for scene in scenes)


def constant(value) -> Image:
    def band(v):
        return lambda grid: Pixels(np.full(grid.shape, v, float), np.ones(grid.shape, bool))

    if not isinstance(value, list):
        return Image({"constant": band(value)})
    return Image({f"constant_{i}": band(v) for i, v in enumerate(value)})


def select(input, bandSelectors):
    for name in bandSelectors:
        if name not in input.bands:
            raise Refused(
                f"Image.select: Band pattern '{name}' did not match any bands. Available bands: "
                f"[{', '.join(input.bands)}]"
            )
    return dataclasses.replace(input, bands={n: input.bands[n] for n in bandSelectors})


def rename(input, names):
    if len(names) != len(input.bands) or len(set(names)) != len(names):
        raise Refused(f"Image.rename: {len(names)} names for {len(input.bands)} bands.")
    bands = dict(zip(names, input.bands.values(), strict=True))
    return dataclasses.replace(input, bands=bands)


def _each(names, compute: Callable, *images) -> dict:
    """Bands of those names; compute(grid, one Pixels per image) -> Pixels.

    Bands are paired in order; a single band goes with each of the others.
    """

    def sources(image):
        found = list(image.bands.values())
        if len(found) not in (1, len(names)):
            raise Refused(f"arithmetic: {len(found)} bands cannot be paired with {len(names)}")
        return found * (len(names) // len(found)) if found else found

    def band(*bands):
        return lambda grid: compute(grid, *(b(grid) for b in bands))

    rows = zip(names, *map(sources, images), strict=True)
    return {name: band(*bands) for name, *bands in rows}


def _arithmetic(compute: Callable) -> Callable:
    """An algorithm on the values of one image or of two; its result has no properties."""

    def pixels(grid, *found):
        valid = np.logical_and.reduce([p.valid for p in found])
        values = compute(*(np.where(valid, p.values, 1.0) for p in found))
        if not np.isfinite(values).all():
            raise Refused("arithmetic: found a valid pixel that is not a number")
        return Pixels(values, valid)

    def algorithm(**images):
        images = tuple(images.values())
        names = max((list(image.bands) for image in images), key=len)
        footprint = shapely.intersection_all([image.footprint for image in images])
        return Image(_each(names, pixels, *images), {}, footprint)

    return algorithm


def clamp(input, low, high):
    return _arithmetic(lambda values: np.clip(values, low, high))(value=input)


def _int16(values):
    # Cut off towards zero, clamped.
    return np.clip(np.trunc(values), -32768, 32767).astype(np.int16)


def update_mask(image, mask):
    def pixels(grid, found, let):
        if not np.isin(let.values[let.valid], (0, 1)).all():
            raise Refused("Image.updateMask: fractional masks are not known here")
        return Pixels(found.values, found.valid & let.valid & (let.values == 1))

    return dataclasses.replace(image, bands=_each(list(image.bands), pixels, image, mask))


def unmask(input, value, sameFootprint=True):
    def pixels(grid, found, other):
        holes = ~found.valid & other.valid
        if sameFootprint:
            holes &= shapely.contains_xy(input.footprint, *_centres(grid, "EPSG:4326"))
        return Pixels(np.where(holes, other.values, found.values), found.valid | holes)

    footprint = input.footprint if sameFootprint else input.footprint.union(value.footprint)
    return Image(_each(list(input.bands), pixels, input, value), input.properties, footprint)


def remap(image, to, defaultValue=None, **before):
    if set(before) != {"from"}:  # Which is no name in Python.
        raise Refused(f"Image.remap: arguments that are not known here: {', '.join(before)}")
    table = dict(zip(before["from"], to, strict=True))

    def pixels(grid, found):
        values = np.full(found.values.shape, np.nan if defaultValue is None else defaultValue)
        for before, after in table.items():
            values[found.values == before] = after
        return Pixels(values, found.valid & np.isfinite(values))

    return dataclasses.replace(image, bands=_each(["remapped"], pixels, image))


def link_collection(input, imageCollection, linkedBands):
    index = input.get("system:index")
    match = [i for i in imageCollection if i.get("system:index") == index]
    # The bands' own grid does not matter where nothing of them is valid.
    gone = update_mask(constant([0] * len(linkedBands)), constant(0))
    found = select(match[0], linkedBands) if match else rename(gone, linkedBands)
    return dataclasses.replace(input, bands={**input.bands, **found.bands})


@dataclasses.dataclass(frozen=True)
class Reducer:
    """Output name, and a function of a stack [N, H, W] that holds NaN where masked."""

    name: str
    compute: Callable | None = None
    columns: int = 0


def median(maxRaw, stack):
    """The mean of the two middle values of an even number; exact up to `maxRaw` values."""
    if len(stack) > maxRaw:
        raise Refused(f"Reducer.median: {len(stack)} values are more than maxRaw, {maxRaw}")
    return np.nanmedian(stack, axis=0)


def _reduced(sources, compute):
    def pixels(grid):
        found = [source(grid) for source in sources]
        stack = np.stack([np.where(p.valid, p.values, np.nan) for p in found])
        valid = np.any([p.valid for p in found], axis=0)
        values = np.zeros(valid.shape)
        values[valid] = compute(stack[:, valid])
        return Pixels(values, valid)

    return pixels


def reduce_collection(collection, reducer=None, compute=None):
    """With `compute` the bands keep their names, as in `ImageCollection.mean`."""
    if not collection:
        return Image({})
    names = list(collection[0].bands)
    if any(list(image.bands) != names for image in collection):
        raise Refused("ImageCollection.reduce: the images' bands differ, which is not known here")
    bands = {}
    for name in names:
        sources = [image.bands[name] for image in collection]
        out = name if reducer is None else f"{name}_{reducer.name}"
        bands[out] = _reduced(sources, compute or reducer.compute)
    return Image(bands, {}, shapely.union_all([i.footprint for i in collection]))


def reduce_image(image, reducer):
    band = _reduced(list(image.bands.values()), reducer.compute)
    return Image({reducer.name: band}, image.properties, image.footprint)


def mosaic(collection):
    def last(stack):
        top = stack[0]
        for layer in stack[1:]:
            top = np.where(np.isnan(layer), top, layer)
        return top

    return reduce_collection(collection, compute=last)


def to_bands(collection):
    bands = {f"{i.get('system:index')}_{n}": b for i in collection for n, b in i.bands.items()}
    return Image(bands, {}, shapely.union_all([i.footprint for i in collection]))


def _indexed(images, prefix=None):
    for i, image in enumerate(images):
        index = str(i) if prefix is None else f"{prefix}_{image.get('system:index')}"
        properties = {**image.properties, "system:index": index}
        yield dataclasses.replace(image, properties=properties)


def reduce_columns(collection, reducer, selectors):
    if reducer.columns != len(selectors):
        raise Refused(f"{reducer.name}: {reducer.columns} inputs, {len(selectors)} selectors")
    rows = [[image.get(name) for name in selectors] for image in collection]
    return {reducer.name: [row for row in rows if None not in row]}


def date_range(start, end):
    def milliseconds(text):
        time = dt.datetime.fromisoformat(text).replace(tzinfo=dt.UTC)
        return int(time.timestamp() * 1000)

    return milliseconds(start), milliseconds(end)


def date_filter(leftValue, rightField):
    start, end = leftValue
    # Half open. An image without a time is in no range.
    return lambda image: start <= image.get(rightField) < end if image.get(rightField) else False


def _filter(compare: Callable) -> Callable:
    def algorithm(leftField, rightValue):
        def passes(image):
            value = image.get(leftField)
            return value is not None and bool(compare(value, rightValue))

        return passes

    return algorithm


def polygon(coordinates, geodesic, evenOdd=True):
    if geodesic or not evenOdd:
        raise Refused("GeometryConstructors.Polygon: only straight edges in degrees are known here")
    return shapely.Polygon(coordinates[0], coordinates[1:])


def area(geometry, maxError=None):
    return abs(GEOD.geometry_area_perimeter(geometry)[0])


def _set(object, key, value):
    return dataclasses.replace(object, properties={**object.properties, key: value})


def mean(stack):
    return np.nanmean(stack, axis=0)


ALGORITHMS = {
    "Collection.filter": lambda collection, filter: tuple(i for i in collection if filter(i)),
    "Collection.map": lambda collection, baseAlgorithm: tuple(map(baseAlgorithm, collection)),
    "Collection.reduceColumns": reduce_columns,
    "Collection.size": lambda collection: len(collection),
    "DateRange": date_range,
    "Dictionary.get": lambda dictionary, key: dictionary[key],
    "Element.set": _set,
    "ErrorMargin": lambda value: value,
    # Only ever the place that scenes are compared with.
    "Feature": lambda geometry: geometry,
    "Filter.and": lambda filters: lambda image: all(f(image) for f in filters),
    "Filter.dateRangeContains": date_filter,
    "Filter.equals": _filter(operator.eq),
    "Filter.intersects": _filter(shapely.intersects),
    "Filter.lessThanOrEquals": _filter(operator.le),
    "Filter.listContains": _filter(operator.contains),
    "Filter.or": lambda filters: lambda image: any(f(image) for f in filters),
    "Geometry.area": area,
    "Geometry.intersection": lambda left, right, maxError: left.intersection(right),
    "GeometryConstructors.Polygon": polygon,
    "Image.add": _arithmetic(np.add),
    "Image.clamp": clamp,
    "Image.constant": constant,
    "Image.exp": _arithmetic(np.exp),
    "Image.floor": _arithmetic(np.floor),
    "Image.geometry": lambda feature: feature.footprint,
    "Image.gte": _arithmetic(np.greater_equal),
    "Image.linkCollection": link_collection,
    "Image.log10": _arithmetic(np.log10),
    "Image.multiply": _arithmetic(np.multiply),
    "Image.reduce": reduce_image,
    "Image.remap": remap,
    "Image.rename": rename,
    "Image.select": select,
    "Image.toFloat": _arithmetic(np.float32),
    "Image.toInt16": _arithmetic(_int16),
    "Image.unmask": unmask,
    "Image.updateMask": update_mask,
    "ImageCollection.fromImages": lambda images: tuple(_indexed(images)),
    "ImageCollection.load": lambda id: _collection(id),
    "ImageCollection.merge": lambda collection1, collection2: (
        *_indexed(collection1, "1"),
        *_indexed(collection2, "2"),
    ),
    "ImageCollection.mosaic": mosaic,
    "ImageCollection.reduce": reduce_collection,
    "ImageCollection.toBands": to_bands,
    "Number.divide": lambda left, right: left / right,
    "Reducer.count": lambda: Reducer("count", lambda stack: np.isfinite(stack).sum(0)),
    "Reducer.median": lambda maxRaw: Reducer("median", functools.partial(median, maxRaw)),
    "Reducer.min": lambda: Reducer("min", lambda stack: np.nanmin(stack, axis=0)),
    "Reducer.toList": lambda tupleSize: Reducer("list", columns=tupleSize),
    "reduce.mean": lambda collection: reduce_collection(collection, compute=mean),
}
"""Name -> a function that takes the arguments by Earth Engine's names for them."""


class Interpreter:
    """Evaluates one expression, {"result": key, "values": {key: node}}, as often as referred to."""

    def __init__(self, expression: dict):
        self.values, self.result = expression["values"], expression["result"]

    def run(self):
        return self.node(self.values[self.result], {})

    def node(self, node: dict, arguments: dict):
        """The value of a node; `arguments` are those of the functions around it."""
        ((kind, content),) = node.items()
        if kind == "constantValue":
            return content
        if kind == "valueReference":
            return self.node(self.values[content], arguments)
        if kind == "argumentReference":
            return arguments[content]
        if kind == "arrayValue":
            return [self.node(item, arguments) for item in content["values"]]
        if kind == "functionDefinitionValue":
            names, body = content["argumentNames"], self.values[content["body"]]
            return lambda *given: self.node(body, arguments | dict(zip(names, given, strict=True)))
        if kind == "functionInvocationValue" and content.get("functionName") in ALGORITHMS:
            given = content.get("arguments", {})
            values = {key: self.node(value, arguments) for key, value in given.items()}
            return ALGORITHMS[content["functionName"]](**values)
        raise Refused(f"{content.get('functionName', kind)}: this is not known here")


def compute_pixels(body: dict) -> bytes:
    """The answer to image:computePixels: NPY of a structured array [height, width]."""
    if body["fileFormat"] != "NPY":
        raise Refused(f"fileFormat: expected NPY, found {body['fileFormat']}")
    image, grid = Interpreter(body["expression"]).run(), Grid.read(body["grid"])
    if not isinstance(image, Image):
        raise Refused(f"expression: expected an image, found {type(image).__name__}")
    if "bandIds" in body:
        image = select(image, body["bandIds"])
    pixels = {name: band(grid) for name, band in image.bands.items()}
    out = np.zeros(grid.shape, [(n, p.values.dtype) for n, p in pixels.items()])
    for name, found in pixels.items():
        # NPY has no mask: what is masked comes as 0.
        out[name] = np.where(found.valid, found.values, 0)
    file = io.BytesIO()
    np.save(file, out)
    return file.getvalue()


def compute_value(body: dict) -> bytes:
    """The answer to value:compute."""
    return json.dumps({"result": Interpreter(body["expression"]).run()}).encode()


METHODS = {
    "image:computePixels": (compute_pixels, "application/octet-stream"),
    "value:compute": (compute_value, "application/json"),
}


def _ee_file(name: str) -> bytes:
    import ee

    return (pathlib.Path(ee.__file__).parent / "tests" / name).read_bytes()


class Handler(http.server.BaseHTTPRequestHandler):
    """The parts of the REST API that our client and `ee.Initialize` use."""

    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def do_GET(self):
        path = self.path.partition("?")[0]
        if path == "/$discovery/rest":
            self.answer(200, _ee_file("cloud_api_discovery_document.json"))
        elif re.fullmatch(r"/v1\w*/projects/[^/]+/algorithms", path):
            self.answer(200, _ee_file("algorithms.json"))
        else:
            self.refuse(404, "NOT_FOUND", f"{path} is not known here")

    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        method = re.fullmatch(r"/v1\w*/projects/[^/]+/([\w:]+)", self.path.partition("?")[0])
        if not method or method[1] not in METHODS:
            return self.refuse(404, "NOT_FOUND", f"{self.path} is not known here")
        self.server.asked.append(method[1])
        compute, kind = METHODS[method[1]]
        try:
            content = compute(body)
        except Exception as error:
            message = str(error) if isinstance(error, Refused) else repr(error)
            return self.refuse(400, "INVALID_ARGUMENT", message)
        return self.answer(200, content, kind)

    def refuse(self, code: int, status: str, message: str):
        error = {"error": {"code": code, "message": message, "status": status}}
        self.answer(code, json.dumps(error).encode())

    def answer(self, code: int, content: bytes, kind: str = "application/json"):
        self.send_response(code)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)


class Listener(http.server.ThreadingHTTPServer):
    """A thread for each connection; more may wait than are ever open at once."""

    daemon_threads = True
    request_queue_size = 64

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.asked = []


class GraphServer:
    """Listens on a free port of this machine while the `with` lasts.

    Attributes:
      url: where.
      asked: of every request so far what it asked for ("image:computePixels"), the oldest first.
    """

    def __enter__(self) -> "GraphServer":
        self._server = Listener()
        self.asked = self._server.asked
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def __exit__(self, *_):
        self._server.shutdown()
        self._server.server_close()
