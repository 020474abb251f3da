"""The bands of a cube and how they are stored; apart from the cube, so that it can be read alone.

The training step needs no more than this of the cube, and so runs where no library of maps is.
"""

S1_BANDS = ("VV", "VH")
S2_BANDS = ("B2", "B3", "B4", "B5", "B6", "B7", "B8", "B8A", "B11", "B12")
BANDS = {"s1": S1_BANDS, "s2": S2_BANDS}
NODATA = -32768
S1_SCALE = 100.0
"""int16 = dB * 100: a step of 0.01 dB, far below speckle."""
S2_SCALE = 10000.0
"""int16 = reflectance * 10000, Copernicus' own encoding of Level-2A."""
SCALES = {"s1": S1_SCALE, "s2": S2_SCALE}
