"""A GeoTIFF is what it is called, and refers to nothing."""

import numpy as np
import pytest
import rasterio

from cropmap_jax.geo import geotiffs


@pytest.fixture
def tif(tmp_path):
    file = tmp_path / "a.tif"
    profile = {"driver": "GTiff", "width": 3, "height": 2, "count": 1, "dtype": "uint8"}
    affine = rasterio.Affine(10, 0, 0, 0, -10, 0)
    with rasterio.open(file, "w", crs="EPSG:32631", transform=affine, **profile) as raster:
        raster.write(np.arange(6, dtype=np.uint8).reshape(1, 2, 3))
    return file


def test_a_geotiff_is_read(tif):
    with geotiffs.open_geotiff(tif) as raster:
        assert raster.read(1).tolist() == [[0, 1, 2], [3, 4, 5]]


def test_a_vrt_called_tif_is_refused(tif, tmp_path):
    vrt = tmp_path / "b.tif"
    vrt.write_text(
        f'<VRTDataset rasterXSize="3" rasterYSize="2"><VRTRasterBand dataType="Byte" band="1">'
        f"<SimpleSource><SourceFilename>{tif}</SourceFilename><SourceBand>1</SourceBand>"
        f"</SimpleSource></VRTRasterBand></VRTDataset>"
    )
    with rasterio.open(vrt) as raster:  # GDAL itself would follow it
        assert raster.read(1)[1, 2] == 5
    with pytest.raises(ValueError, match=r"b\.tif: damaged or not a GeoTIFF"):
        with geotiffs.open_geotiff(vrt):
            pass


def test_bytes_that_were_read_already_are_the_file(tif):
    data = tif.read_bytes()
    tif.write_bytes(b"changed since")
    with geotiffs.open_geotiff(tif, data=data) as raster:
        assert raster.read(1)[1, 2] == 5
    for other in (b"changed since", b""):
        with pytest.raises(ValueError, match=r"a\.tif: damaged or not a GeoTIFF \((?!.*vsimem)"):
            with geotiffs.open_geotiff(tif, data=other):
                pass


def test_damage_that_shows_in_reading_names_the_file(tif):
    data = tif.read_bytes()
    tif.write_bytes(data[:8] + data[8:].replace(bytes(range(6)), b""))
    with pytest.raises(ValueError, match=r"a\.tif: damaged or not a GeoTIFF"):
        with geotiffs.open_geotiff(tif) as raster:
            raster.read()


def test_a_sidecar_does_not_change_a_cube(tif):
    tif.with_name("a.tif.aux.xml").write_text(
        '<PAMDataset><PAMRasterBand band="1"><NoDataValue>3</NoDataValue></PAMRasterBand>'
        "</PAMDataset>"
    )
    with geotiffs.open_geotiff(tif) as raster:
        assert raster.nodata is None
    with geotiffs.open_geotiff(tif, sidecars=True) as raster:
        assert raster.nodata == 3


def test_a_path_that_is_no_file(tmp_path):
    with pytest.raises(ValueError, match="expected a GeoTIFF, found no file"):
        with geotiffs.open_geotiff(tmp_path / "none.tif"):
            pass
