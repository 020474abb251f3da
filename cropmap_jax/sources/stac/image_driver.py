"""What odc-stac opens files with: by their content GeoTIFFs and JPEG 2000 alone."""

from typing import Any

from odc.loader import RioDriver, RioReader
from rasterio.io import DatasetReader

from cropmap_jax.sources.stac.errors import clean
from cropmap_jax.sources.stac.formats import DRIVERS


class ImageDriver(RioDriver):
    """Reads as odc-stac does by default, but no other formats."""

    def open(self, src: Any, ctx: Any) -> RioReader:
        """A reader of one file."""
        return _ImageReader(src, ctx)


class _ImageReader(RioReader):
    def read(self, *args: Any, **more: Any) -> Any:
        # odc-stac's reader opens the file itself and takes no list of drivers. What is asked for
        # here is in GDAL's cache then. `rasterio.open` takes one driver only.
        with DatasetReader(self._src.uri, driver=DRIVERS, sharing=False) as raster:
            if raster.transform.is_identity:
                # It lies nowhere: all of it would be missing without a word.
                raise ValueError(
                    f"{clean(self._src.uri)[-120:]}: expected a georeferenced image, found no "
                    f"geotransform"
                )
            return super().read(*args, **more)
