"""Finding scenes: in a STAC API, a static catalogue, or a folder of products."""

import datetime as dt
import json
import os
import pathlib
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Protocol

import pystac
import pystac.errors
import pystac.stac_io
import shapely

from cropmap_jax.geo.names import nearest
from cropmap_jax.sources.stac import loose, products
from cropmap_jax.sources.stac.access import TIMEOUT_S, Access, session
from cropmap_jax.sources.stac.errors import Refused, Unreachable, clean
from cropmap_jax.sources.stac.options import Catalogue
from cropmap_jax.sources.stac.scenes import Scene

Parse = Callable[[pystac.Item], Scene | None]
Box = tuple[float, float, float, float]
_PAGE = 200


class Finder(Protocol):
    """Finds the scenes of one collection."""

    def find(self, box: Box, first: dt.date, last: dt.date) -> list[Scene]:
        """Scenes that may touch a box in degrees, from `first` up to and without `last`, UTC."""


def open_catalogue(options: Catalogue, access: Access, parse: Parse, max_cloud: float) -> Finder:
    """Opens a catalogue and looks its collection up.

    Args:
      options: which one.
      access: to it.
      parse: makes a scene of an item; None where it is not wanted.
      max_cloud: items with a higher `eo:cloud_cover` are left out.

    Raises:
      ValueError: no catalogue there, or none of that collection: suggests the nearest.
      Unreachable: no answer.
      Refused: it wants a token, or another one.
    """
    import pystac_client
    import pystac_client.exceptions
    import urllib3

    address = _address(options)
    retry = urllib3.Retry(
        total=6, connect=2, backoff_factor=0.5, status_forcelist=(429, 500, 502, 503, 504),
        allowed_methods=None,
    )  # fmt: skip
    io = pystac_client.stac_api_io.StacApiIO(
        headers=access.headers(address), max_retries=retry, timeout=TIMEOUT_S
    )

    def wanted(item: pystac.Item) -> Scene | None:
        cloud = item.properties.get("eo:cloud_cover")
        return None if cloud is not None and cloud > max_cloud else parse(item)

    with _errors(options.catalogue):
        if options.files:
            found = loose.items(pathlib.Path(address), options)
            return _Listed(found, options.collection, options, wanted)
        if os.path.isdir(address):
            return _Listed(
                products.items(pathlib.Path(address)), products.COLLECTION, options, wanted
            )
        if address.startswith("http") and not address.endswith(".json"):
            client = pystac_client.Client.open(address, stac_io=io)
            if client.conforms_to(pystac_client.ConformanceClasses.ITEM_SEARCH):
                return _Api(client, options, wanted)
        root = pystac.Catalog.from_file(address, stac_io=_Files(access))
        held = {one.id: one for one in _collections(root)}
        if options.collection not in held:
            raise _unknown(options, held)
        own = held[options.collection].get_items(recursive=True)
        return _Listed(own, options.collection, options, wanted)


class _Files(pystac.stac_io.DefaultStacIO):
    """Reads a static catalogue with repetitions, and its token."""

    def __init__(self, access: Access):
        super().__init__()
        self._access, self._session = access, session()

    def read_text_from_href(self, href: str) -> str:
        if not href.startswith("http"):
            return super().read_text_from_href(href)
        reply = self._session.get(href, headers=self._access.headers(href), timeout=TIMEOUT_S)
        if reply.status_code in (401, 403):
            raise Refused(f"{clean(href)}: refused with {reply.status_code}; check the token")
        if reply.status_code != 200:
            raise Unreachable(f"{clean(href)}: answered {reply.status_code}")
        return str(reply.text)


def _address(options: Catalogue) -> str:
    catalogue = options.catalogue
    if options.files:
        if not catalogue.strip() or not os.path.isdir(catalogue):
            raise ValueError(
                f"config.catalogue: expected a folder of files named as files says, found "
                f"{catalogue!r}"
            )
        return os.path.abspath(catalogue)
    if catalogue.startswith("http"):
        return catalogue
    path = pathlib.Path(catalogue)
    if catalogue.strip() and path.is_dir():
        if not (path / "catalog.json").is_file() and products.find(path):
            return os.fspath(path.absolute())
        if not (path / "catalog.json").is_file():
            products.check_no_ground_range(path, options)
        path = path / "catalog.json"
    if not catalogue.strip() or not path.is_file():
        raise ValueError(
            f"config.catalogue: expected the address of a STAC catalogue, its catalog.json or the "
            f"folder of one, or a folder of Sentinel-2 products (*.SAFE, *.zip), found "
            f"{catalogue!r}; of loose files, files says how they are named"
        )
    return os.fspath(path.absolute())


_MALFORMED = (
    *(pystac.errors.STACError, pystac.errors.STACTypeError, json.JSONDecodeError),
    *(AttributeError, KeyError, TypeError, OSError),
)
"""What pystac raises about a catalogue that is none."""


class _errors:
    """Turns what libraries raise about a catalogue into one line."""

    def __init__(self, where: str):
        self._where = clean(where)

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        import pystac_client.exceptions
        import requests

        if isinstance(error, (Unreachable, Refused)):
            return
        status = getattr(error, "status_code", None)
        if isinstance(error, pystac_client.exceptions.APIError):
            if status is None:
                raise Unreachable(f"{self._where}: no answer") from None
            text = f"{self._where}: answered {status}: {clean(error)}"
            if status in (401, 403):
                raise Refused(f"{text}; check the token of this catalogue") from None
            if status in (400, 404):
                raise ValueError(text) from None
            raise Unreachable(text) from None
        if isinstance(error, (requests.RequestException, ConnectionError, TimeoutError)):
            raise Unreachable(f"{self._where}: no answer ({type(error).__name__})") from None
        if isinstance(error, _MALFORMED):
            raise ValueError(
                f"{self._where}: expected a STAC catalogue, found one that cannot be read "
                f"({clean(error)})"
            ) from error


def _unknown(options: Catalogue, names: Iterable[str]) -> ValueError:
    known = sorted(names)
    shown = ", ".join(known[:12]) + (f" and {len(known) - 12} more" if len(known) > 12 else "")
    return ValueError(
        f"{clean(options.catalogue)}: expected a collection of {shown or 'none'}, found "
        f"{options.collection!r}{nearest(options.collection, known)}"
    )


class _Api:
    """A service that answers searches."""

    def __init__(self, client: Any, options: Catalogue, parse: Parse):
        import pystac_client.exceptions

        self._client, self._options, self._parse = client, options, parse
        try:
            found = client.get_collection(options.collection)
        except pystac_client.exceptions.APIError as error:
            if error.status_code != 404:
                raise
            found = None
        except KeyError:
            found = None
        if found is None:
            raise _unknown(options, (one.id for one in client.get_collections()))

    def find(self, box: Box, first: dt.date, last: dt.date) -> list[Scene]:
        with _errors(self._options.catalogue):
            search = self._client.search(
                collections=[self._options.collection],
                bbox=list(box),
                datetime=f"{first.isoformat()}T00:00:00Z/{last.isoformat()}T00:00:00Z",
                limit=_PAGE,
            )
            # The end of a span belongs to it, in STAC; not in ours.
            return list(_within(map(self._parse, search.items()), first, last))


class _Listed:
    """Items that are all read once, and kept as scenes."""

    def __init__(self, found: Iterable[pystac.Item], name: str, options: Catalogue, parse: Parse):
        if options.collection != name:
            raise _unknown(options, [name])
        self._scenes = [scene for item in found if (scene := parse(item)) is not None]
        self._tree = shapely.STRtree([scene.outline for scene in self._scenes])

    def find(self, box: Box, first: dt.date, last: dt.date) -> list[Scene]:
        near = sorted(self._tree.query(shapely.box(*box), predicate="intersects").tolist())
        return list(_within((self._scenes[i] for i in near), first, last))


def _collections(root: pystac.Catalog) -> Iterator[pystac.Collection]:
    if isinstance(root, pystac.Collection):
        yield root
    yield from root.get_all_collections()


def _within(found: Iterable[Scene | None], first: dt.date, last: dt.date) -> Iterator[Scene]:
    for scene in found:
        if scene is not None and first <= scene.time.date() < last:
            yield scene
