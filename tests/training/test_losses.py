"""Masked losses against sums done by hand. ln 2 is the loss of a logit of 0, whatever is true."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from cropmap_jax.geo.legend import IGNORE, NONE_OF_THESE
from cropmap_jax.training import losses

# One row of pixels: class 0, class 1, none of these, unknown.
LABEL = jnp.array([[[0, 1, NONE_OF_THESE, IGNORE]]], jnp.uint8)
ZEROS = jnp.zeros((1, 1, 4, 2))
# sigmoid(ln 3) = 3/4; softmax(0, ln 3) = (1/4, 3/4).
LN3 = ZEROS.at[..., 1].set(math.log(3))
PLANTED = jnp.ones((1, 2))
BOTH = pytest.mark.parametrize("loss", losses.LOSSES.values(), ids=losses.LOSSES)


def gradient(loss, logits, label=LABEL, planted=PLANTED, weights=None):
    return np.asarray(jax.grad(lambda x: loss(x, label, planted, weights)[0])(logits))[0, 0]


def test_sigmoid_loss_by_hand():
    total, count = losses.sigmoid_loss(LN3, LABEL, PLANTED)
    # Three known pixels, two classes. Logits of 0 (class 0) cost ln 2 each. Class 1 at 3/4 costs
    # -ln 1/4 where it is false (class 0, none of these) and -ln 3/4 where it is true.
    expected = 3 * math.log(2) + 2 * math.log(4) + math.log(4 / 3)
    assert float(total) == pytest.approx(expected, rel=1e-6)
    assert float(count) == 6


def test_softmax_loss_by_hand():
    total, count = losses.softmax_loss(LN3, LABEL, PLANTED)
    # Only pixels of a class count: class 0 has 1/4, class 1 has 3/4.
    assert float(total) == pytest.approx(math.log(4) + math.log(4 / 3), rel=1e-6)
    assert float(count) == 2


def test_sigmoid_gradient_pushes_as_the_label_says():
    # The derivative is sigmoid(logit) - target: 1/2 at a logit of 0.
    np.testing.assert_allclose(
        gradient(losses.sigmoid_loss, ZEROS),
        [[-0.5, 0.5], [0.5, -0.5], [0.5, 0.5], [0, 0]],
        rtol=1e-6,
    )


def test_softmax_gradient_pushes_as_the_label_says():
    np.testing.assert_allclose(
        gradient(losses.softmax_loss, LN3),
        [[-0.75, 0.75], [0.25, -0.25], [0, 0], [0, 0]],
        rtol=1e-6,
    )


@BOTH
@pytest.mark.parametrize("weights", [None, np.array([2, 3], np.float32)])
def test_unknown_pixels_have_exactly_no_gradient(loss, weights):
    logits = 5 * jax.random.normal(jax.random.key(0), ZEROS.shape)
    found = gradient(loss, logits, weights=weights)
    assert (found[3] == 0).all()
    assert (found[:2] != 0).all()


@BOTH
def test_the_value_of_an_unknown_pixel_does_not_matter(loss):
    for value in (-1e30, 1e30):
        logits = LN3.at[0, 0, 3].set(value)
        assert float(loss(logits, LABEL, PLANTED)[0]) == float(loss(LN3, LABEL, PLANTED)[0])
        assert (gradient(loss, logits) == gradient(loss, LN3)).all()


def test_sigmoid_leaves_out_a_crop_that_is_not_planted():
    total, count = losses.sigmoid_loss(LN3, LABEL, jnp.array([[1.0, 0.0]]))
    assert float(total) == pytest.approx(3 * math.log(2), rel=1e-6)
    assert float(count) == 3
    found = gradient(losses.sigmoid_loss, LN3, planted=jnp.array([[1.0, 0.0]]))
    assert (found[:, 1] == 0).all() and (found[:3, 0] != 0).all()


def test_softmax_leaves_out_a_crop_that_is_not_planted():
    logits = jnp.concatenate([LN3, LN3[..., :1]], -1)  # (0, ln 3, 0)
    total, count = losses.softmax_loss(logits, LABEL, jnp.array([[1.0, 0.0, 1.0]]))
    # Class 0 against class 2 alone: 1/2. The pixel of class 1 is out.
    assert float(total) == pytest.approx(math.log(2), rel=1e-6)
    assert float(count) == 1
    found = gradient(losses.softmax_loss, logits, planted=jnp.array([[1.0, 0.0, 1.0]]))
    np.testing.assert_allclose(found, [[-0.5, 0, 0.5], [0, 0, 0], [0, 0, 0], [0, 0, 0]], rtol=1e-6)


@BOTH
def test_planted_is_per_example(loss):
    planted = jnp.array([[1.0, 1.0], [1.0, 0.0]])
    both = loss(jnp.tile(LN3, (2, 1, 1, 1)), jnp.tile(LABEL, (2, 1, 1)), planted)
    apart = [loss(LN3, LABEL, p[None]) for p in planted]
    np.testing.assert_allclose(both, np.sum(apart, 0), rtol=1e-6)


@BOTH
def test_nothing_known_costs_nothing(loss):
    for label, planted in ((jnp.full_like(LABEL, IGNORE), PLANTED), (LABEL, jnp.zeros((1, 2)))):
        total, count = loss(LN3, label, planted)
        assert (float(total), float(count)) == (0, 0)
        assert (gradient(loss, LN3, label, planted) == 0).all()


def test_class_weights_by_hand():
    weights = np.array([2, 3], np.float32)
    total, count = losses.sigmoid_loss(ZEROS, LABEL, PLANTED, weights)
    # Two classes a pixel: 2 x (2 + 3 + 1 for none of these).
    assert float(count) == 12
    assert float(total) == pytest.approx(12 * math.log(2), rel=1e-6)
    total, count = losses.softmax_loss(LN3, LABEL, PLANTED, weights)
    assert float(count) == 5
    assert float(total) == pytest.approx(2 * math.log(4) + 3 * math.log(4 / 3), rel=1e-6)


@BOTH
def test_sums_and_counts_of_parts_add_up(loss):
    rng = np.random.default_rng(0)
    logits = jnp.asarray(rng.standard_normal((6, 4, 4, 2)), jnp.float32)
    label = jnp.asarray(rng.choice([0, 1, NONE_OF_THESE, IGNORE], (6, 4, 4)), jnp.uint8)
    planted = jnp.asarray(rng.integers(0, 2, (6, 2)), jnp.float32)
    whole = loss(logits, label, planted)
    parts = [loss(logits[s], label[s], planted[s]) for s in (slice(1), slice(1, 6))]
    np.testing.assert_allclose(whole, np.sum(parts, 0), rtol=1e-5)


def test_activations_belong_to_their_losses():
    assert losses.ACTIVATIONS.keys() == losses.LOSSES.keys()
    np.testing.assert_allclose(losses.ACTIVATIONS["sigmoid"](LN3)[0, 0, 0], [0.5, 0.75], rtol=1e-6)
    np.testing.assert_allclose(losses.ACTIVATIONS["softmax"](LN3)[0, 0, 0], [0.25, 0.75], rtol=1e-6)


def test_balanced_weights_by_hand():
    # Mean of what is there: (100 + 400) / 2 = 250; roots of 2.5 and 0.625.
    found = losses.balanced_weights(np.array([100, 400, 0]))
    np.testing.assert_allclose(found, [2.5**0.5, 0.625**0.5, 1], rtol=1e-6)
    assert found.dtype == np.float32
    np.testing.assert_allclose(losses.balanced_weights([100, 400], 1.0), [2.5, 0.625], rtol=1e-6)
    # 500 times too rare, but at most 10; 500/999.
    np.testing.assert_allclose(losses.balanced_weights([1, 999], 1.0), [10, 500 / 999], rtol=1e-6)
    assert losses.balanced_weights([0, 0]).tolist() == [1, 1]
