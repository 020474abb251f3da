"""The kinds of crops: how they grow (for the plains of northern France) and how they scatter radar.

Dates, leaf areas and scattering were set by hand within what agronomy manuals give and then
adjusted until monthly NDVI, VV and VH of the kinds that the French parcels of the WorldCereal
training data (MIT licence) hold agreed with them; `docs/simulator.md` shows how far they do.
"""

from dataclasses import replace

from cropmap_jax.sources.simulator.phenology import Annual, Crop, Perennial
from cropmap_jax.sources.simulator.radar import Structure

# Leaves and stems as (VV, VH), linear sigma-0 of a deep canopy and one-way optical depth.
_CEREAL = Structure((0.034, 0.0110), (0.19, 0.13), (0.060, 0.026), (0.35, 0.30))
_BARLEY = Structure((0.032, 0.0090), (0.20, 0.14), (0.160, 0.070), (0.45, 0.50))
_RAPE = Structure((0.170, 0.040), (0.24, 0.24), (0.330, 0.125), (0.60, 0.90))
_BROAD = Structure((0.280, 0.052), (0.18, 0.20), (0.280, 0.054), (0.20, 0.25))
_MAIZE = Structure((0.160, 0.042), (0.10, 0.13), (0.165, 0.046), (0.30, 0.35))
_TALL = Structure((0.300, 0.042), (0.17, 0.15), (0.340, 0.048), (0.40, 0.30))
_GRASS = Structure((0.095, 0.0250), (0.14, 0.16), (0.100, 0.025), (0.20, 0.20), rows=0.0)
_WOOD = Structure((0.140, 0.038), (0.10, 0.12), (0.150, 0.045), (0.90, 0.90), rows=0.0)
_RICE = Structure((0.120, 0.020), (0.12, 0.12), (0.140, 0.025), (0.30, 0.30))

_WHEAT = Annual(
    sow=-70, rise=88, rise_days=14, peak=4.6, fall=170, fall_days=6, harvest=198, winter=0.7,
    brown=0.55, heading=140, dries=0.85, stubble=0.8, before=0.5, cover=0.25, till=30,
)  # fmt: skip

COMMON_WHEAT = Crop("common wheat", _WHEAT, _CEREAL)
DURUM_WHEAT = Crop(
    "durum wheat",
    replace(_WHEAT, sow=-55, rise=84, peak=3.8, fall=163, harvest=190, winter=0.55, pale=0.35),
    _CEREAL,
)
BARLEY = Crop(
    "winter barley",
    replace(_WHEAT, sow=-85, rise=80, fall=150, fall_days=7, harvest=178, heading=122, pale=0.4),
    _BARLEY,
)
SPRING_BARLEY = Crop(
    "spring barley",
    replace(_WHEAT, sow=60, rise=115, rise_days=8, peak=4.2, fall=172, harvest=205, winter=0.0,
            heading=152, pale=0.4, cover=0.35),
    _BARLEY,
)  # fmt: skip
RYE = Crop(
    "rye",
    replace(_WHEAT, sow=-90, rise=70, peak=4.4, fall=162, harvest=200, heading=106, winter=1.2),
    replace(_CEREAL, stem=(0.100, 0.034), stem_depth=(0.70, 0.60)),
)
OATS = Crop(
    "oats",
    replace(_WHEAT, sow=65, rise=120, rise_days=9, peak=4.6, fall=178, fall_days=8, harvest=214,
            winter=0.0, heading=160, pale=0.1, cover=0.35),
    replace(_CEREAL, stem=(0.100, 0.040), stem_depth=(0.45, 0.50)),
)  # fmt: skip
TRITICALE = Crop(
    "triticale",
    replace(_WHEAT, sow=-80, rise=82, peak=4.8, fall=164, harvest=198, heading=128, pale=0.1),
    replace(_BARLEY, stem=(0.140, 0.060), stem_depth=(0.50, 0.55)),
)
MIXED_CEREALS = Crop(
    "mixed cereals",
    replace(
        _WHEAT,
        sow=20,
        rise=108,
        peak=3.4,
        fall=180,
        fall_days=9,
        harvest=212,
        heading=150,
        winter=0.2,
        pale=0.5,
    ),
    replace(_CEREAL, stem=(0.070, 0.044), stem_depth=(0.45, 0.60)),
    vigour=0.22,
)
SORGHUM = Crop(
    "sorghum",
    Annual(sow=135, rise=190, rise_days=9, peak=3.6, fall=262, fall_days=10, harvest=282,
           brown=0.7, heading=215, dries=0.5, stubble=0.9, pale=0.4),
    _MAIZE,
)  # fmt: skip
MAIZE = Crop(
    "maize",
    Annual(sow=120, rise=186, rise_days=9, peak=4.4, fall=250, fall_days=9, harvest=272,
           brown=0.55, heading=195, dries=0.5, stubble=0.6, cover=0.45, before=0.8, till=35,
           spread=8),
    _MAIZE,
)  # fmt: skip
RICE = Crop(
    "rice",
    Annual(sow=125, rise=185, rise_days=11, peak=4.6, fall=248, fall_days=9, harvest=270,
           brown=0.6, heading=215, dries=0.5, stubble=0.6, cover=0.0, before=0.25, till=60,
           flooded=95, pale=0.4),
    _RICE,
    irrigated=True,
)  # fmt: skip
POTATO = Crop(
    "potato",
    Annual(sow=105, rise=170, rise_days=7, peak=4.0, fall=230, fall_days=9, harvest=266, brown=0.25,
           heading=175, dries=0.9, stubble=0.15, cover=0.25, till=20, pale=0.05),
    replace(_BROAD, rows=2.0),
    vigour=0.25,
)  # fmt: skip
SUGAR_BEET = Crop(
    "sugar beet",
    Annual(sow=88, rise=158, rise_days=9, peak=4.6, fall=305, fall_days=18, harvest=300, brown=0.2,
           heading=185, dries=0.2, stubble=0.4, cover=0.45, till=15, pale=0.0, spread=7),
    replace(_BROAD, leaf=(0.200, 0.066), stem=(0.210, 0.070)),
)  # fmt: skip
FODDER_ROOTS = Crop(
    "fodder roots",
    Annual(sow=115, rise=185, rise_days=12, peak=3.8, fall=318, fall_days=20, harvest=325,
           brown=0.2, heading=215, dries=0.2, stubble=0.3, pale=0.1, spread=8),
    replace(_BROAD, leaf=(0.120, 0.048), stem=(0.120, 0.050)),
    vigour=0.22,
)  # fmt: skip
SUNFLOWER = Crop(
    "sunflower",
    Annual(sow=112, rise=176, rise_days=8, peak=3.1, fall=234, fall_days=10, harvest=254,
           brown=0.8, heading=186, dries=0.55, stubble=0.7, bloom=196, bloom_days=16, cover=0.3,
           pale=0.2),
    _TALL,
)  # fmt: skip
RAPESEED = Crop(
    "rapeseed",
    Annual(sow=-125, rise=60, rise_days=14, peak=4.4, fall=168, fall_days=6, harvest=179,
           winter=1.5, brown=0.6, heading=130, dries=0.25, stubble=0.7, bloom=112, bloom_days=26,
           before=0.7, cover=0.4, till=27, pale=0.15),
    _RAPE,
)  # fmt: skip
SOYA = Crop(
    "soya",
    Annual(sow=128, rise=185, rise_days=9, peak=4.6, fall=252, fall_days=8, harvest=272, brown=0.5,
           heading=205, dries=0.6, stubble=0.4, cover=0.4, before=0.9, pale=0.15),
    replace(_BROAD, leaf=(0.240, 0.034), stem=(0.240, 0.038)),
)  # fmt: skip
SPRING_PULSES = Crop(
    "spring peas and beans",
    Annual(sow=70, rise=124, rise_days=8, peak=3.8, fall=176, fall_days=8, harvest=202, brown=0.5,
           heading=145, dries=0.6, stubble=0.3, cover=0.35, pale=0.2),
    replace(_BROAD, leaf=(0.130, 0.038), stem=(0.170, 0.052)),
    vigour=0.25,
)  # fmt: skip
VEGETABLES = Crop(
    "vegetables",
    Annual(sow=110, rise=170, rise_days=10, peak=3.0, fall=235, fall_days=12, harvest=250,
           brown=0.2, heading=190, dries=0.3, stubble=0.2, pale=0.3, spread=14),
    _BROAD,
    vigour=0.225,
    irrigated=True,
)  # fmt: skip
OTHER_INDUSTRIAL = Crop(
    "flax, hemp and the like",
    Annual(sow=85, rise=132, rise_days=8, peak=3.6, fall=190, fall_days=9, harvest=215, brown=0.5,
           heading=150, dries=0.5, stubble=0.9, pale=0.3, spread=8),
    replace(_CEREAL, leaf=(0.080, 0.022), stem=(0.100, 0.034)),
    vigour=0.22,
)  # fmt: skip
LEY = Crop(
    "ley and lucerne",
    Perennial(base=1.1, amplitude=1.7, middle=160, width=80, cuts=4.5, regrow=20, brown=0.3),
    replace(_GRASS, leaf=(0.080, 0.0260), leaf_depth=(0.30, 0.30)),
)
GRASSLAND = Crop(
    "permanent grassland",
    Perennial(base=1.5, amplitude=1.2, middle=130, width=55, cuts=1.6, regrow=28, left=0.45,
    brown=0.35,
              summer_brown=0.12),
    _GRASS,
    vigour=0.22,
)  # fmt: skip
FALLOW = Crop(
    "bare arable land",
    Perennial(base=0.6, amplitude=0.5, middle=150, width=60, cuts=1.0, brown=0.35, stems=0.05),
    replace(_GRASS, leaf_depth=(0.10, 0.10)),
    vigour=0.35,
)
DECIDUOUS = Crop(
    "deciduous wood",
    Perennial(base=0.9, amplitude=4.2, middle=195, width=62, brown=0.7, stems=1.0, pale=0.1),
    _WOOD,
    vigour=0.12,
)
CONIFEROUS = Crop(
    "coniferous wood",
    Perennial(base=3.2, amplitude=0.8, middle=190, width=70, brown=0.5, stems=1.0, pale=0.0),
    replace(_WOOD, leaf=(0.120, 0.033)),
    vigour=0.10,
)
