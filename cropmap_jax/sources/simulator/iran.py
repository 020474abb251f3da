"""Crops of the Iranian world: irrigated, earlier, often of two sowing seasons.

Seasons lie within the ranges of the competition's crop calendars (planting end, harvest start and
harvest end, median over provinces, 1400-1401); courses are those of `crops`, moved to these dates.
"""

from dataclasses import replace

from cropmap_jax.sources.simulator import crops
from cropmap_jax.sources.simulator.phenology import Annual, Crop, Perennial
from cropmap_jax.sources.simulator.radar import Structure

SEASONS = {
    "canola": (-40, 136, 195),
    "cotton": (150, 275, 350),
    "lentils": (90, 172, 200),
    "lentils_autumn": (-10, 150, 180),
    "maize": (185, 262, 315),
    "onion_early": (79, 173, 220),
    "onion_late": (155, 235, 290),
    "pea": (99, 180, 220),
    "pea_autumn": (9, 165, 200),
    "sugarbeet": (120, 266, 330),
    "sugarbeet_autumn": (-60, 141, 170),
    "tomato": (141, 192, 300),
}
"""{kind: (planting end, harvest start, harvest end)}, days from 1 January of harvest, shift 0."""

_DRY = {"before": 0.15, "cover": 0.0}
_LOW = Structure((0.075, 0.018), (0.10, 0.10), (0.090, 0.024), (0.20, 0.20), rows=1.5)
_BUSH = Structure((0.150, 0.030), (0.15, 0.15), (0.180, 0.036), (0.30, 0.30), rows=1.5)

CANOLA = Crop(
    "canola",
    replace(crops.RAPESEED.growth, sow=-75, rise=48, fall=132, harvest=150, heading=88, bloom=82,
            bloom_days=24, winter=1.2, spread=6, **_DRY),
    crops.RAPESEED.structure,
    irrigated=True,
)  # fmt: skip
COTTON = Crop(
    "cotton",
    Annual(sow=125, rise=185, rise_days=12, peak=3.6, fall=268, fall_days=14, harvest=295,
           brown=0.6, heading=205, dries=0.4, stubble=0.8, pale=0.15, spread=7, **_DRY),
    replace(_BUSH, leaf=(0.130, 0.028)),
    vigour=0.2,
    irrigated=True,
)  # fmt: skip
LENTILS = Crop(
    "lentils",
    Annual(sow=64, rise=103, rise_days=8, peak=2.6, fall=160, fall_days=7, harvest=178, brown=0.5,
           heading=116, dries=0.8, stubble=0.2, pale=0.6, spread=5, **_DRY),
    _LOW,
    vigour=0.2,
    irrigated=True,
)  # fmt: skip
LENTILS_AUTUMN = replace(
    LENTILS,
    name="autumn lentils",
    growth=replace(LENTILS.growth, sow=-40, rise=78, fall=138, harvest=158, heading=95, winter=0.4),
)
PEA = Crop(
    "pea",
    Annual(sow=72, rise=110, rise_days=8, peak=2.8, fall=168, fall_days=8, harvest=190, brown=0.5,
           heading=126, dries=0.7, stubble=0.25, pale=0.35, spread=5, **_DRY),
    replace(_LOW, leaf=(0.085, 0.022), stem=(0.110, 0.032)),
    vigour=0.22,
    irrigated=True,
)  # fmt: skip
PEA_AUTUMN = replace(
    PEA,
    name="autumn pea",
    growth=replace(PEA.growth, sow=-25, rise=78, fall=150, harvest=172, heading=105, winter=0.4),
)
MAIZE = Crop(
    "maize",
    replace(crops.MAIZE.growth, sow=170, rise=206, rise_days=8, fall=258, harvest=276, heading=220,
            spread=8, **_DRY),
    crops.MAIZE.structure,
    irrigated=True,
)  # fmt: skip
ONION_EARLY = Crop(
    "early onion",
    Annual(sow=55, rise=108, rise_days=12, peak=2.3, fall=170, fall_days=10, harvest=182, brown=0.3,
           heading=135, dries=0.5, stubble=0.1, pale=0.1, spread=6, **_DRY),
    replace(_LOW, leaf=(0.100, 0.020), stem=(0.100, 0.022), rows=2.0),
    vigour=0.22,
    irrigated=True,
)  # fmt: skip
ONION_LATE = replace(
    ONION_EARLY,
    name="late onion",
    growth=replace(ONION_EARLY.growth, sow=130, rise=178, fall=235, harvest=250, heading=200),
)
SUGAR_BEET = Crop(
    "sugar beet",
    replace(crops.SUGAR_BEET.growth, sow=95, rise=160, fall=292, harvest=285, spread=8, **_DRY),
    crops.SUGAR_BEET.structure,
    irrigated=True,
)
SUGAR_BEET_AUTUMN = replace(
    SUGAR_BEET,
    name="autumn sugar beet",
    growth=replace(SUGAR_BEET.growth, sow=-85, rise=40, rise_days=16, fall=165, harvest=152,
                   heading=70, winter=0.8),
)  # fmt: skip
TOMATO = Crop(
    "tomato",
    Annual(sow=92, rise=131, rise_days=9, peak=3.2, fall=235, fall_days=16, harvest=255,
           brown=0.3, heading=148, dries=0.3, stubble=0.3, pale=0.0, spread=6, **_DRY),
    replace(_BUSH, leaf=(0.165, 0.034), rows=2.0),
    vigour=0.2,
    irrigated=True,
)  # fmt: skip
WHEAT = Crop(
    "wheat",
    replace(crops.COMMON_WHEAT.growth, sow=-50, rise=68, fall=142, harvest=165, heading=112,
            peak=3.8, spread=6, **_DRY),
    crops.COMMON_WHEAT.structure,
    vigour=0.22,
    irrigated=True,
)  # fmt: skip
BARLEY = Crop(
    "barley",
    replace(crops.BARLEY.growth, sow=-55, rise=60, fall=126, harvest=148, heading=98, peak=3.4,
            spread=6, **_DRY),
    crops.BARLEY.structure,
    vigour=0.22,
)  # fmt: skip
LUCERNE = replace(crops.LEY, name="lucerne", irrigated=True)
POTATO = Crop(
    "potato",
    replace(crops.POTATO.growth, sow=90, rise=145, fall=215, harvest=238, spread=8, **_DRY),
    crops.POTATO.structure,
    vigour=0.2,
    irrigated=True,
)
SUNFLOWER = Crop(
    "sunflower",
    replace(crops.SUNFLOWER.growth, sow=115, rise=170, fall=228, harvest=250, spread=8, **_DRY),
    crops.SUNFLOWER.structure,
    irrigated=True,
)
ORCHARD = Crop(
    "orchard",
    Perennial(base=0.5, amplitude=2.0, middle=190, width=65, brown=0.3, stems=0.7, pale=0.1),
    replace(crops.DECIDUOUS.structure, leaf_depth=(0.10, 0.10), stem_depth=(0.35, 0.35)),
    vigour=0.2,
    irrigated=True,
)
FALLOW = Crop(
    "fallow",
    Perennial(base=0.12, amplitude=0.25, middle=100, width=35, brown=0.3, stems=0.02),
    crops.FALLOW.structure,
    vigour=0.5,
)
