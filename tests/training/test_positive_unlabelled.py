"""nnPU and PNU against risks worked out by hand, in float64."""

import functools
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from cropmap_jax.geo.legend import IGNORE, NONE_OF_THESE
from cropmap_jax.training import losses, positive_unlabelled

LN2, LN4, LN4_3 = math.log(2), math.log(4), math.log(4 / 3)
# One row of pixels: class 0 twice, class 1, none of these, unknown twice, unknown and unseen.
LABEL = np.array([[[0, 0, 1, NONE_OF_THESE, IGNORE, IGNORE, IGNORE]]], np.uint8)
UNKNOWN = np.array([[[False, False, False, False, True, True, False]]])
PLANTED = np.ones((1, 2))
PRIORS = np.array([0.25, 0.5])
# Logits of class 0: sigmoid(ln 3) = 3/4, sigmoid(0) = 1/2; those of class 1 are all 0.
FIRST = [math.log(3), 0, 0, math.log(3), 0, math.log(3), 50]
LOGITS = np.stack([FIRST, np.zeros(7)], -1)[None, None]
"""float64 [1, 1, 7, 2]."""


@pytest.fixture(autouse=True)
def float64():
    was = jax.config.jax_enable_x64
    jax.config.update("jax_enable_x64", True)
    yield
    jax.config.update("jax_enable_x64", was)


def risk_of(logits, label=LABEL, unknown=UNKNOWN, planted=PLANTED, priors=PRIORS, **settings):
    found, weights = positive_unlabelled.sums(logits, label, unknown, planted)
    return positive_unlabelled.risk(found, weights, priors, **settings)


def both(logits=LOGITS, **settings):
    """The risk, and its derivative by the logits, [pixels, classes]."""
    compiled = jax.jit(jax.value_and_grad(functools.partial(risk_of, **settings)))
    value, slope = compiled(jnp.asarray(logits))
    return float(value), np.asarray(slope)[0, 0]


# Of class 0 positives, negatives and unknown pixels have one logit of ln 3 and one of 0 each: the
# means of l+ and of l- are the same for all three.
YES, NO = (LN4_3 + LN2) / 2, (LN4 + LN2) / 2
# Those of class 1 are all ln 2.


def test_sums_by_hand():
    found, weights = positive_unlabelled.sums(LOGITS, LABEL, UNKNOWN, PLANTED)
    np.testing.assert_allclose(found.positive, [2 * YES, LN2], rtol=1e-12)
    np.testing.assert_allclose(found.negative, [2 * NO, 3 * LN2], rtol=1e-12)
    np.testing.assert_allclose(found.unknown, [2 * NO, 2 * LN2], rtol=1e-12)
    turned = [[2 * NO, LN2], [2 * YES, 3 * LN2], [2 * YES, 2 * LN2]]
    np.testing.assert_allclose(found.turned, turned, rtol=1e-12)
    np.testing.assert_array_equal(weights.positive, [2, 1])
    np.testing.assert_array_equal(weights.negative, [2, 3])
    np.testing.assert_array_equal(weights.unknown, [2, 2])


def test_pu_by_hand():
    # p P[l+] + U[l-] - p P[l-], with p = 1/4 and 1/2; the mean of both classes.
    expected = (YES / 4 + NO - NO / 4 + LN2 / 2 + LN2 - LN2 / 2) / 2
    value, slope = both(eta=1.0)
    assert value == pytest.approx(expected, rel=1e-12)
    # Derivatives: of l+ sigmoid - 1, of l- sigmoid. Of a positive they differ by 1: p / 2 pixels,
    # and one of two classes. An unknown pixel has sigmoid / 2 pixels / 2 classes.
    column = [-1 / 16, -1 / 16, 0, 0, 1 / 8, 3 / 16, 0]
    np.testing.assert_allclose(slope[:, 0], column, rtol=1e-12, atol=1e-15)
    np.testing.assert_allclose(slope[:, 1], [0, 0, -1 / 4, 0, 1 / 8, 1 / 8, 0], atol=1e-15)


def test_pn_is_pnu_without_unknown_pixels():
    expected = (YES / 4 + 3 / 4 * NO + LN2 / 2 + LN2 / 2) / 2
    value, slope = both(eta=0.0)
    assert value == pytest.approx(expected, rel=1e-12)
    assert (slope[4:] == 0).all() and (slope[:4] != 0).all()
    assert value == both(eta=0.0, unknown=0 * UNKNOWN > 0)[0]


@pytest.mark.parametrize("eta", [0.3, 1.0, -0.3, -1.0])
def test_pnu_by_hand(eta):
    pn = [YES / 4 + 3 / 4 * NO, LN2]
    pu = [YES / 4 + NO - NO / 4, LN2]
    # (1 - p) N[l-] + U[l+] - (1 - p) N[l+]
    nu = [3 / 4 * NO + YES - 3 / 4 * YES, LN2]
    mixed = [
        (1 - abs(eta)) * a + abs(eta) * b for a, b in zip(pn, pu if eta > 0 else nu, strict=True)
    ]
    assert both(eta=eta)[0] == pytest.approx(sum(mixed) / 2, rel=1e-12)


def test_the_risk_of_a_sample_that_is_as_the_ground_is_that_of_full_annotation():
    """If unknown ground holds the annotated pixels in their shares, PN, PU, NU and PNU are one."""
    rng = np.random.default_rng(0)
    positive, negative = rng.normal(1, 2, 3), rng.normal(-1, 2, 9)
    logits = np.concatenate([positive, negative, positive, negative])
    label = np.array([0] * 3 + [NONE_OF_THESE] * 9 + [IGNORE] * 12, np.uint8)[None, None]
    given = {"label": label, "unknown": label == IGNORE, "planted": np.ones((1, 1))}
    given["priors"] = np.array([0.25])
    found = [both(logits[None, None, :, None], **given, eta=e)[0] for e in (0, 1, 0.6, -1, -0.2)]
    whole = np.concatenate([np.log1p(np.exp(-positive)), np.log1p(np.exp(negative))]).mean()
    np.testing.assert_allclose(found, whole, rtol=1e-12)


# Of class 0 the bracket is U[l-] - p P[l-] = ln 4/3 - p ln 4 < 0 with p = 1/2.
OVERFITTED = np.array([[[[math.log(3)], [-math.log(3)]]]])
ONE = {
    "label": np.array([[[0, IGNORE]]], np.uint8),
    "unknown": np.array([[[False, True]]]),
    "planted": np.ones((1, 1)),
    "priors": np.array([0.5]),
}
BRACKET = LN4_3 - LN4 / 2


@pytest.mark.parametrize(("beta", "gamma"), [(0.0, 1.0), (0.0, 0.25), (0.3, 0.5)])
def test_a_negative_bracket_is_climbed_instead(beta, gamma):
    assert BRACKET < -0.4
    value, slope = both(OVERFITTED, **ONE, beta=beta, gamma=gamma)
    assert value == pytest.approx(LN4_3 / 2 - beta, rel=1e-12)
    # -gamma times the derivative of the bracket: -p 3/4 and 1/4; nothing of p P[l+].
    np.testing.assert_allclose(slope[:, 0], [gamma * 3 / 8, -gamma / 4], rtol=1e-12)


def test_a_bracket_above_minus_beta_is_descended():
    value, slope = both(OVERFITTED, **ONE, beta=0.5)
    assert value == pytest.approx(LN4_3 / 2 + BRACKET, rel=1e-12)
    np.testing.assert_allclose(slope[:, 0], [-1 / 8 - 3 / 8, 1 / 4], rtol=1e-12)


def test_clipping_is_class_by_class_and_leaves_pn_as_it_is():
    """Of PNU, what comes from annotated pixels is descended all the same."""
    label = np.array([[[0, NONE_OF_THESE, IGNORE]]], np.uint8)
    logits = np.array([[[[math.log(3), 0], [0, 0], [-math.log(3), 0]]]])
    given = {"label": label, "unknown": label == IGNORE, "priors": np.array([0.5, 0.5])}
    value, slope = both(logits, **given, eta=0.5)
    # Class 1 has no positive, so class 0 is all.
    expected = 0.5 * (LN4_3 / 2 + LN2 / 2) + 0.5 * (LN4_3 / 2)
    assert value == pytest.approx(expected, rel=1e-12)
    np.testing.assert_allclose(slope[:, 0], [-1 / 16 + 3 / 16, 1 / 8, -1 / 8], rtol=1e-12)
    assert (slope[:, 1] == 0).all()


def test_nothing_that_is_needed_is_missing():
    """A class without a positive, or a batch without unknown pixels, teaches nothing by PU."""
    for change in ({"unknown": 0 * UNKNOWN > 0}, {"planted": 0 * PLANTED}):
        value, slope = both(eta=1.0, **change)
        assert value == 0 and (slope == 0).all()
    value, slope = both(eta=1.0, planted=np.array([[1.0, 0.0]]))
    assert value == pytest.approx(YES / 4 + 3 / 4 * NO, rel=1e-12)
    assert (slope[:, 1] == 0).all()


def test_smoothing_and_shares_by_hand():
    share = np.array([[[1, 0.5, 1, 1, 0, 1, 1]]])
    found, weights = positive_unlabelled.sums(LOGITS, LABEL, UNKNOWN, PLANTED, 0.2, share)
    # Of target 0.9: 0.9 l+ + 0.1 l-.
    expected = 0.9 * LN4_3 + 0.1 * LN4 + 0.5 * LN2
    assert float(found.positive[0]) == pytest.approx(expected, rel=1e-12)
    assert float(weights.positive[0]) == 1.5 and float(weights.unknown[0]) == 1


def test_devices_decide_together():
    """Of two devices' brackets one is negative; what both hold decides, as on one device."""
    rng = np.random.default_rng(1)
    logits = jnp.asarray(rng.normal(0, 2, (2, 1, 1, 6, 2)))
    label = np.array([[[[0, 1, 1, IGNORE, IGNORE, NONE_OF_THESE]]]] * 2, np.uint8)
    label[1, 0, 0, 1] = 0
    unknown, planted = label == IGNORE, np.ones((2, 1, 2))

    def total(tree):
        return jax.lax.psum(tree, "devices")

    def share(logits, label, unknown, planted, eta, beta):
        found, weights = positive_unlabelled.sums(logits, label, unknown, planted)
        return positive_unlabelled.risk(
            found, total(weights), PRIORS, eta=eta, beta=beta, gamma=0.5, total=total
        )

    whole = logits.reshape(2, 1, 6, 2)
    signs = set()
    for shift in (-4.0, 4.0):
        # Unknown pixels that are hardly ever the class make brackets negative.
        moved = jnp.where(unknown[..., None], logits + shift, logits)
        for eta, beta in ((1.0, 0.0), (0.5, 0.1), (-0.5, 0.0)):
            one = functools.partial(share, eta=eta, beta=beta)
            mapped = jax.jit(jax.vmap(jax.value_and_grad(one), axis_name="devices"))
            found, slopes = mapped(moved, label, unknown, planted)
            together = functools.partial(
                risk_of, label=label[:, 0], unknown=unknown[:, 0], planted=planted[:, 0],
                eta=eta, beta=beta, gamma=0.5,
            )  # fmt: skip
            value, slope = jax.jit(jax.value_and_grad(together))(moved.reshape(whole.shape))
            assert float(found.sum()) == pytest.approx(float(value), rel=1e-12)
            np.testing.assert_allclose(slopes.reshape(slope.shape), slope, rtol=1e-9, atol=1e-15)
            plain = jax.jit(jax.grad(functools.partial(together, beta=100.0)))(
                moved.reshape(whole.shape)
            )
            signs.add(bool(np.allclose(plain, slope)))
    assert signs == {True, False}  # clipped and not


def test_masked_sigmoid_is_another_mean_of_the_same_losses():
    """Of annotated pixels alone, PN with the shares that they have is the masked loss."""
    label = np.array([[[0, 0, NONE_OF_THESE, 0]]], np.uint8)
    logits = np.random.default_rng(2).normal(size=(1, 1, 4, 1))
    one = np.ones((1, 1))
    summed, count = losses.sigmoid_loss(jnp.asarray(logits), label, one)
    found = risk_of(
        logits, label=label, unknown=label == IGNORE, planted=one, priors=[0.75], eta=0.0
    )
    assert float(found) == pytest.approx(float(summed / count), rel=1e-7)
