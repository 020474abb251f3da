"""Masked losses against sums done by hand. ln 2 is the loss of a logit of 0, whatever is true."""

import functools
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from cropmap_jax.geo.legend import IGNORE, NONE_OF_THESE
from cropmap_jax.training import losses

# One row of pixels: class 0, class 1, none of these, unknown.
LABEL = np.array([[[0, 1, NONE_OF_THESE, IGNORE]]], np.uint8)
ZEROS = np.zeros((1, 1, 4, 2), np.float32)
# sigmoid(ln 3) = 3/4; softmax(0, ln 3) = (1/4, 3/4).
LN3 = ZEROS + np.array([0, math.log(3)], np.float32)
PLANTED = np.ones((1, 2), np.float32)
ONLY_FIRST = np.array([[1, 0]], np.float32)
SIGMOID, SOFTMAX = losses.sigmoid_loss, losses.softmax_loss
BOTH = pytest.mark.parametrize("loss", [SIGMOID, SOFTMAX], ids=["sigmoid", "softmax"])
LN2, LN4, LN4_3 = math.log(2), math.log(4), math.log(4 / 3)


@functools.cache
def _compiled(loss, weights):
    weights = None if weights is None else np.array(weights, np.float32)
    return jax.jit(jax.value_and_grad(lambda x, *rest: loss(x, *rest, weights), has_aux=True))


def sums_of(loss, logits, label=LABEL, planted=PLANTED, weights=None):
    """[sum, count] as floats."""
    return [float(v) for v in _compiled(loss, weights)(logits, label, planted)[0]]


def gradient_of(loss, logits, label=LABEL, planted=PLANTED, weights=None):
    """Derivative of the sum by the logits, [pixels, classes]."""
    return np.asarray(_compiled(loss, weights)(logits, label, planted)[1])[0, 0]


def test_sigmoid_loss_by_hand():
    # Three known pixels, two classes. Logits of 0 (class 0) cost ln 2 each. Class 1 at 3/4 costs
    # -ln 1/4 where it is false (class 0, none of these) and -ln 3/4 where it is true.
    assert sums_of(SIGMOID, LN3) == pytest.approx([3 * LN2 + 2 * LN4 + LN4_3, 6], rel=1e-6)


def test_softmax_loss_by_hand():
    # Only pixels of a class count: class 0 has 1/4, class 1 has 3/4.
    assert sums_of(SOFTMAX, LN3) == pytest.approx([LN4 + LN4_3, 2], rel=1e-6)


def test_sigmoid_gradient_pushes_as_the_label_says():
    # The derivative is sigmoid(logit) - target: 1/2 at a logit of 0.
    expected = [[-0.5, 0.5], [0.5, -0.5], [0.5, 0.5], [0, 0]]
    np.testing.assert_allclose(gradient_of(SIGMOID, ZEROS), expected, rtol=1e-6)


def test_softmax_gradient_pushes_as_the_label_says():
    # The derivative is the probability less 1 for the true class.
    expected = [[-0.75, 0.75], [0.25, -0.25], [0, 0], [0, 0]]
    np.testing.assert_allclose(gradient_of(SOFTMAX, LN3), expected, rtol=1e-6)


@BOTH
@pytest.mark.parametrize("weights", [None, (2, 3)])
def test_unknown_pixels_have_exactly_no_gradient(loss, weights):
    logits = np.linspace(-9, 9, 8, dtype=np.float32).reshape(ZEROS.shape)
    found = gradient_of(loss, logits, weights=weights)
    assert (found[3] == 0).all()
    assert (found[:2] != 0).all()


@BOTH
def test_the_logits_of_an_unknown_pixel_do_not_matter(loss):
    for value in (-1e30, 1e30):
        logits = LN3.copy()
        logits[0, 0, 3] = value
        assert sums_of(loss, logits) == sums_of(loss, LN3)
        assert (gradient_of(loss, logits) == gradient_of(loss, LN3)).all()


def test_sigmoid_leaves_out_a_crop_that_is_not_planted():
    found = sums_of(SIGMOID, LN3, planted=ONLY_FIRST)
    assert found == pytest.approx([3 * LN2, 3], rel=1e-6)
    gradient = gradient_of(SIGMOID, LN3, planted=ONLY_FIRST)
    assert (gradient[:, 1] == 0).all() and (gradient[:3, 0] != 0).all()


def test_softmax_leaves_out_a_crop_that_is_not_planted():
    logits = np.concatenate([LN3, ZEROS[..., :1]], -1)  # (0, ln 3, 0)
    planted = np.array([[1, 0, 1]], np.float32)
    # Class 0 against class 2 alone: 1/2. The pixel of class 1 is out.
    assert sums_of(SOFTMAX, logits, planted=planted) == pytest.approx([LN2, 1], rel=1e-6)
    expected = [[-0.5, 0, 0.5], [0, 0, 0], [0, 0, 0], [0, 0, 0]]
    np.testing.assert_allclose(gradient_of(SOFTMAX, logits, planted=planted), expected, rtol=1e-6)


@BOTH
def test_nothing_known_costs_nothing(loss):
    for label, planted in ((np.full_like(LABEL, IGNORE), PLANTED), (LABEL, 0 * PLANTED)):
        assert sums_of(loss, LN3, label, planted) == [0, 0]
        assert (gradient_of(loss, LN3, label, planted) == 0).all()


def test_class_weights_by_hand():
    # Sigmoid, two classes a pixel: 2 x (2 + 3 + 1 for none of these), each costs ln 2.
    assert sums_of(SIGMOID, ZEROS, weights=(2, 3)) == pytest.approx([12 * LN2, 12], rel=1e-6)
    expected = [2 * LN4 + 3 * LN4_3, 5]
    assert sums_of(SOFTMAX, LN3, weights=(2, 3)) == pytest.approx(expected, rel=1e-6)


@BOTH
def test_sums_and_counts_of_parts_add_up_and_planted_is_per_example(loss):
    rng = np.random.default_rng(0)
    logits = rng.standard_normal((3, 1, 4, 2)).astype(np.float32)
    label = rng.permuted(np.tile(LABEL, (3, 1, 1)), axis=2)
    planted = np.array([[1, 1], [1, 0], [0, 1]], np.float32)
    parts = [sums_of(loss, logits[i, None], label[i, None], planted[i, None]) for i in range(3)]
    whole = sums_of(loss, logits, label, planted)
    assert whole == pytest.approx(np.sum(parts, 0).tolist(), rel=1e-6)
    assert len({count for _, count in parts}) > 1


def test_activations_belong_to_their_losses():
    known = {name: loss.function for name, loss in losses.LOSSES.items()}
    assert {k: known[k] for k in ("sigmoid", "softmax")} == {"sigmoid": SIGMOID, "softmax": SOFTMAX}
    for name, expected in (("sigmoid", [0.5, 0.75]), ("softmax", [0.25, 0.75])):
        loss = losses.LOSSES[name]
        found = loss.activation(jnp.asarray(LN3))[0, 0, 0]
        np.testing.assert_allclose(found, expected, rtol=1e-6)
        # Only exclusive classes share one probability.
        assert loss.exclusive == (pytest.approx(1, rel=1e-6) == float(found.sum()))


def test_balanced_weights_by_hand():
    # Mean of what is there: (100 + 400) / 2 = 250; roots of 2.5 and 0.625.
    found = losses.balanced_weights(np.array([100, 400, 0]))
    np.testing.assert_allclose(found, [2.5**0.5, 0.625**0.5, 1], rtol=1e-6)
    assert found.dtype == np.float32
    np.testing.assert_allclose(losses.balanced_weights([100, 400], 1.0), [2.5, 0.625], rtol=1e-6)
    # 500 times too rare, but at most 10; 500/999.
    np.testing.assert_allclose(losses.balanced_weights([1, 999], 1.0), [10, 500 / 999], rtol=1e-6)
    assert losses.balanced_weights([0, 0]).tolist() == [1, 1]
