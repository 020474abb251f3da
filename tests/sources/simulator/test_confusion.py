import numpy as np
import pytest
from scipy import optimize

from cropmap_jax.geo.legend import EUCROPMAP
from cropmap_jax.sources.simulator import confusion


def test_held_out_accuracies_are_the_published_ones():
    def crops_alone(factor):
        matrix, share = confusion.crop_confusion(factor)
        return share @ np.diag(matrix)

    def whole_map(factor):
        return confusion.lucas_shares() @ np.diag(confusion.eucropmap(cover_odds=factor).matrix)

    # Published: 64.2 % among the crops, 76 % over all classes. The factors are those to a digit.
    assert crops_alone(confusion._CROP_ODDS) == pytest.approx(0.642, abs=0.001)
    assert whole_map(confusion._COVER_ODDS) == pytest.approx(0.760, abs=0.001)
    found = optimize.brentq(lambda k: crops_alone(k) - 0.642, 1, 30)
    assert round(found, 1) == confusion._CROP_ODDS
    found = optimize.brentq(lambda k: whole_map(k) - 0.760, 1, 30)
    assert round(found, 1) == confusion._COVER_ODDS


def test_grouped_accuracy_is_near_the_published_one():
    # Groups by the first two digits of the codes; 230 to 233 are one. None of these is its own.
    group = np.array([c.code // 10 for c in EUCROPMAP.classes] + [0])
    alike = confusion.eucropmap().matrix * (group[:, None] == group)
    # Not used in assembling the matrix: published are 80.3 %.
    assert confusion.lucas_shares() @ alike.sum(1) == pytest.approx(0.803, abs=0.02)


def test_who_is_taken_for_whom():
    found = confusion.eucropmap()
    np.testing.assert_allclose(found.matrix.sum(1), 1)
    index = EUCROPMAP.index

    def likest(name):
        return EUCROPMAP.names[int(found.mistakes[index(name)].argmax())]

    for cereal in ("durum_wheat", "barley", "rye", "oats", "triticale"):
        assert likest(cereal) == "common_wheat"
    assert likest("soya") == likest("potatoes") == "maize"
    assert likest("woodland_and_shrubland") == "grassland"
    # Rape keeps the published 96 % among the crops; the first forest loses some of it to grassland.
    assert 0.85 < found.matrix[index("rapeseed"), index("rapeseed")] < 0.96
    assert found.matrix[-1, -1] == 1 and found.verges[-1] == 0


def test_factor_on_the_odds():
    # An error of 1/5 has odds of 1/4; three times that is 3/4, an error of 3/7.
    matrix = np.array([[0.8, 0.15, 0.05], [0.2, 0.8, 0.0], [0.0, 0.5, 0.5]])
    scaled = confusion.scale_odds(matrix, 3.0, {2: 0.1})
    np.testing.assert_allclose(scaled[0], [4 / 7, 9 / 28, 3 / 28])
    np.testing.assert_allclose(scaled[2], [0, 0.1, 0.9])
    np.testing.assert_allclose(confusion.scale_odds(matrix, 1.0, {}), matrix)


def test_uniform():
    found = confusion.uniform(4, 0.2)
    np.testing.assert_allclose(found.errors, 0.2)
    np.testing.assert_allclose(found.mistakes[0], [0, 0.25, 0.25, 0.25, 0.25])
    np.testing.assert_allclose(found.verges, [0.25, 0.25, 0.25, 0.25, 0])


@pytest.mark.parametrize(
    "matrix, verges, message",
    [
        (np.eye(3), np.full(2, 0.5), r"2 x 2, as many as verges, found \(3, 3\)"),
        (np.full((2, 2), 0.6), np.full(2, 0.5), "add up to 1"),
        (np.array([[1.5, -0.5], [0, 1]]), np.full(2, 0.5), "0 or more"),
    ],
)
def test_no_confusion(matrix, verges, message):
    with pytest.raises(ValueError, match=message):
        confusion.Confusion(matrix, verges)
