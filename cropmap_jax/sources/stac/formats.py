"""Which formats scenes may have, by what is in a file and not by its name.

A text of GDAL's virtual formats under the name of a GeoTIFF would make GDAL read other files of
this machine, or ask other services, for whoever writes a catalogue.
"""

DRIVERS = ["GTiff", "JP2OpenJPEG", "JP2KAK", "JP2ECW", "JP2MrSID"]
"""GDAL's drivers of GeoTIFF and JPEG 2000; which of the latter there are depends on the build."""
MAGIC = (
    b"II*\0", b"MM\0*", b"II+\0", b"MM\0+",  # TIFF and BigTIFF, of either byte order
    b"\0\0\0\x0cjP  \r\n\x87\n", b"\xff\x4f\xff\x51",  # JPEG 2000: a file, a bare code stream
)  # fmt: skip
"""First bytes of these formats. Sources: TIFF 6.0, section 2; BigTIFF design (libtiff);
ITU-T T.800, annexes A and I."""
MAGIC_BYTES = max(map(len, MAGIC))


def is_image(head: bytes) -> bool:
    """Whether a file that begins with `head` may be a GeoTIFF or JPEG 2000."""
    return any(head.startswith(magic[: len(head)]) for magic in MAGIC)
