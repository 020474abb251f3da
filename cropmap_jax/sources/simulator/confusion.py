"""Which classes EUCROPMAP 2018 confuses: a confusion matrix assembled from published figures.

The map was made by two random forests on Sentinel-1, the first to separate arable land, woodland
and grassland, the second to separate the crops, in a northern and a southern stratum. Published:

- How the two forests' errors spread over the other classes, from confusion matrices of pixels that
  were split at random (overall accuracy 94.9 % and 86.9 %), so that pixels of one polygon were
  trained on and tested: who is mistaken for whom is informative, how often is not. Going by their
  shares of crops, they are of the northern stratum.
- Overall accuracy of the crops with whole polygons held out, northern stratum, January to July, as
  the map was made: 64.2 %.
- Overall accuracy of the map on LUCAS points, all classes apart: 76 %. Those points lie in parcels
  of 0.5 ha or more and were seen on the spot, so mixed pixels at borders come on top.
- User's and producer's accuracy of rape and turnip rape: above 96 %.

Ours is how these are put together: the odds of every class's error are multiplied by one factor per
forest, such that the held-out accuracies come out over the published numbers of polygons per class.
Cereals, root crops and industrial crops each taken as one class, the matrix then gives 82 % where
80.3 % was published. Ours, too, is what grassland and woodland become when taken for crops, and
what roads are taken for. Accuracies of single classes are therefore estimates; those of distinct
crops (maize, beet, sunflower) are more likely too low than too high.

Sources: d'Andrimont et al. (2021), doi:10.1016/j.rse.2021.112708 (accuracies); its code,
github.com/ec-jrc/eucropmap, folder Classification/Parametrization (confusion matrices in the
outputs of the `Lucas_RF_train model` notebooks, held-out accuracy and polygons per class in those
of the benchmarking notebooks) and CreateLUCAS2018validationPoints.R (choice of points).
"""

import dataclasses
import functools

import numpy as np

from cropmap_jax.geo import legend as legends

# Crop, number of its polygons, and per mille of its pixels that the second forest takes for other
# crops; less than 2 per mille is left out.
_CROPS = """
common_wheat 4210: maize 16, barley 6, rapeseed 3, rye 2
durum_wheat 198: common_wheat 624, barley 32, rye 28, maize 19
barley 1615: common_wheat 130, maize 19, rye 6, fodder_crops 4, rapeseed 2
rye 528: common_wheat 160, maize 46, barley 30, rapeseed 5, fodder_crops 5, oats 2, sunflower 2
oats 433: common_wheat 218, maize 38, barley 37, rye 21, fodder_crops 7, rapeseed 2, dry_pulses 2
maize 2242: common_wheat 27, barley 5, sunflower 4, rapeseed 3, rye 2
rice 11: maize 186, common_wheat 70, fodder_crops 70, sunflower 47
triticale 297: common_wheat 334, maize 48, rye 46, barley 31, fodder_crops 5, rapeseed 2
other_cereals 86: maize 301, common_wheat 160, sunflower 20, rapeseed 12, dry_pulses 10,
  fodder_crops 10, barley 8, oats 6, rye 4, sugar_beet 2, potatoes 2
potatoes 285: maize 68, sugar_beet 28, sunflower 4, dry_pulses 3, rapeseed 2, common_wheat 2
sugar_beet 396: maize 64, common_wheat 31, sunflower 4, potatoes 2, rapeseed 2
other_root_crops 75: maize 122, common_wheat 99, rapeseed 19, barley 17, sugar_beet 9,
  potatoes 6, fodder_crops 6
other_industrial_crops 141: common_wheat 207, maize 100, rapeseed 30, barley 23, rye 12,
  sugar_beet 7, fodder_crops 7, potatoes 6, dry_pulses 5, sunflower 4
sunflower 462: maize 39, common_wheat 12, rapeseed 10, sugar_beet 4, potatoes 3
rapeseed 1096: common_wheat 56, barley 9, maize 8, rye 3, fodder_crops 2, sunflower 2
soya 154: maize 327, sunflower 47, sugar_beet 27, dry_pulses 4, common_wheat 3
dry_pulses 424: maize 98, common_wheat 37, sunflower 20, fodder_crops 4, rapeseed 3, barley 2
fodder_crops 860: common_wheat 114, maize 49, barley 5, rapeseed 3, sunflower 2, dry_pulses 2
bare_arable_land 629: common_wheat 305, rapeseed 64, maize 50, barley 48, fodder_crops 7,
  sunflower 5, rye 4, oats 2
"""
# Per cent of the first forest, truth in rows: arable, woodland, grassland; and numbers of polygons.
_COVERS = np.array([[96.5, 0.3, 3.2], [0.8, 96.2, 3.0], [6.3, 2.2, 91.5]]) / 100
_COVER_POLYGONS = (18376, 22396, 17125)

# Factors on the odds of error, as tests/sources/simulator/test_confusion.py derives them.
_CROP_ODDS = 6.1
_COVER_ODDS = 3.0
# Errors that are not scaled. Rape is published. Durum wheat, a crop of the southern stratum, is
# rare in the northern one and all but lost there: half of it found is ours.
_FIXED_ERRORS = {"rapeseed": 0.04, "durum_wheat": 0.5}
# Ours: a fifth of what is lost of grassland and woodland to crops goes to the likest crop, the rest
# to all by area. Ground of none of the classes that is too narrow for the masks, as roads are, is
# taken for its verges.
_LIKEST_CROP = "fodder_crops"
_VERGES = {"grassland": 0.75, "woodland_and_shrubland": 0.15, "common_wheat": 0.10}


@dataclasses.dataclass(frozen=True)
class Confusion:
    """Who is taken for whom.

    Args:
      matrix: float64 [C + 1, C + 1], rows truth and columns map, in label order with none of these
        last; rows add up to 1.
      verges: float64 [C + 1], what ground of none of the classes is taken for where it is too
        narrow to be masked.

    Raises:
      ValueError: shapes that do not agree, or rows that are no probabilities.
    """

    matrix: np.ndarray
    verges: np.ndarray

    def __post_init__(self) -> None:
        if self.matrix.shape != (len(self.verges),) * 2:
            raise ValueError(
                f"confusion: expected a matrix of {len(self.verges)} x {len(self.verges)}, as many "
                f"as verges, found {self.matrix.shape}"
            )
        rows = np.vstack([self.matrix, self.verges])
        if (rows < 0).any() or not np.allclose(rows.sum(1), 1):
            raise ValueError("confusion: expected rows of 0 or more that add up to 1")

    @property
    def errors(self) -> np.ndarray:
        """Share of every class that is taken for another, float64 [C + 1]."""
        return 1 - np.diag(self.matrix)

    @property
    def mistakes(self) -> np.ndarray:
        """Shares of the classes that a class is mistaken for, float64 [C + 1, C + 1]; 0 on the
        diagonal, rows add up to 1 or, of classes never mistaken, 0."""
        wrong: np.ndarray = self.matrix * (1 - np.eye(len(self.matrix)))
        wrong /= np.maximum(wrong.sum(1, keepdims=True), 1e-300)
        return wrong


def scale_odds(matrix: np.ndarray, factor: float, fixed: dict[int, float]) -> np.ndarray:
    """Multiplies the odds of error of every row by a factor; `fixed` rows get the error given.

    Args:
      matrix: float [N, N], rows truth, each with some error; rows are brought to a sum of 1.
      factor: on the odds.
      fixed: {row: error}.

    Returns:
      float64 [N, N] with rows that add up to 1.
    """
    matrix = matrix / matrix.sum(1, keepdims=True)
    error = 1 - np.diag(matrix)
    scaled = factor * error / (1 - error + factor * error)
    scaled[list(fixed)] = list(fixed.values())
    wrong = matrix * (1 - np.eye(len(matrix)))
    result: np.ndarray = wrong * (scaled / error)[:, None] + np.diag(1 - scaled)
    return result


def crops() -> tuple[list[str], np.ndarray]:
    """Names of the 19 crops in the order of the second forest, and their numbers of polygons."""
    heads = [line.split(":")[0].split() for line in _CROPS.splitlines() if ":" in line]
    return [name for name, _ in heads], np.array([float(count) for _, count in heads])


def lucas_shares() -> np.ndarray:
    """Share of each class among the LUCAS polygons, float64 [22], in label order; sums to 1."""
    names, polygons = crops()
    arable, wood, grass = np.array(_COVER_POLYGONS) / sum(_COVER_POLYGONS)
    index = legends.EUCROPMAP.index
    shares = np.zeros(len(legends.EUCROPMAP) + 1)
    shares[[index(name) for name in names]] = arable * polygons / polygons.sum()
    shares[[index("woodland_and_shrubland"), index("grassland")]] = wood, grass
    return shares


def crop_confusion(factor: float = _CROP_ODDS) -> tuple[np.ndarray, np.ndarray]:
    """Confusion of the second forest, float64 [19, 19], and shares of the crops, float64 [19]."""
    names, polygons = crops()
    matrix = np.zeros((len(names), len(names)))
    for row, line in enumerate(_CROPS.strip().replace(",\n", ",").splitlines()):
        for pair in line.split(":")[1].split(","):
            other, per_mille = pair.split()
            matrix[row, names.index(other)] = int(per_mille) / 1000
        matrix[row, row] = 1 - matrix[row].sum()
    fixed = {names.index(name): error for name, error in _FIXED_ERRORS.items()}
    return scale_odds(matrix, factor, fixed), polygons / polygons.sum()


@functools.cache
def eucropmap(crop_odds: float = _CROP_ODDS, cover_odds: float = _COVER_ODDS) -> Confusion:
    """The confusion of EUCROPMAP 2018, in the order of `legend.EUCROPMAP`.

    Args:
      crop_odds, cover_odds: factors on the odds of the two forests' errors.

    Returns:
      A matrix of 22 x 22. None of these is kept: the map masks it with other maps.
    """
    index = legends.EUCROPMAP.index
    among, share = crop_confusion(crop_odds)
    covers = scale_odds(_COVERS, cover_odds, {})
    names, _ = crops()
    at = np.array([index(name) for name in names])
    wood, grass = index("woodland_and_shrubland"), index("grassland")
    matrix = np.zeros((len(legends.EUCROPMAP) + 1,) * 2)
    matrix[np.ix_(at, at)] = covers[0, 0] * among
    matrix[at, wood], matrix[at, grass] = covers[0, 1:]
    lost = 0.8 * (share @ among)
    lost[names.index(_LIKEST_CROP)] += 0.2
    for row, cover in ((wood, 1), (grass, 2)):
        matrix[row, at] = covers[cover, 0] * lost
        matrix[row, [wood, grass]] = covers[cover, 1:]
    matrix[-1, -1] = 1
    verges = np.zeros(len(matrix))
    for name, part in _VERGES.items():
        verges[index(name)] = part
    return Confusion(matrix, verges)


def uniform(classes: int, error: float) -> Confusion:
    """A confusion in which every class is taken for all others alike, for legends without a map.

    Args:
      classes: of the legend.
      error: share of every class that is taken for another.
    """
    matrix = np.full((classes + 1, classes + 1), error / classes)
    np.fill_diagonal(matrix, 1 - error)
    verges = np.full(classes + 1, 1 / classes)
    verges[-1] = 0
    return Confusion(matrix, verges)
