"""The arithmetic of a network, as XLA counts it, against counts by hand and against PyTorch's."""

import jax.numpy as jnp
import pytest
from flax import linen as nn

from cropmap_jax.models import DualUNet3D
from cropmap_jax.models.blocks import PRODUCT_RATIO
from cropmap_jax.models.flops import count_flops

BANDS = {"s1": 2, "s2": 10}


def by_hand(network, height, width):
    """Operations of the convolutions for one chip: of those over time first, and of all.

    In two counts: with all of their windows, and without what lies in zero padding, which XLA does
    not count; and the number of values that are normalised.
    """
    periods, values = network.num_periods, 0

    def conv(size, channels, features, of=9, images=1):
        """A 3 x 3 convolution at a level whose images are so large."""
        nonlocal values
        values += images * size[0] * size[1] * features
        pixels = images * size[0] * size[1]
        whole = 2 * pixels * of * channels * features
        if PRODUCT_RATIO * pixels <= features:  # a matrix product, over patches that hold zeros
            return whole, whole
        inside = [(3 * n - 2) / (3 * n) for n in size]
        return whole, round(whole * inside[0] * inside[1])

    def dense(pixels, channels, features):
        return (2 * pixels * channels * features,) * 2

    first, layers, w = [], [], network.width
    sizes = [(height >> i, width >> i) for i in range(network.levels + 1)]
    for channels in dict(network.bands).values():
        first.append(conv(sizes[0], channels, w, 27, periods))
        values += height * width * w
        layers.append(dense(height * width, periods * w, w))
        channels = w
        for level, size in enumerate(sizes):
            features = 2 ** (level + 1) * w
            layers += [conv(size, channels, features), conv(size, features, features)]
            channels = features
        for level in reversed(range(network.levels)):
            features = 2 ** (level + 1) * w
            pixels = sizes[level + 1][0] * sizes[level + 1][1]
            layers.append(dense(pixels, 2 * features, 4 * features))
            layers += [conv(sizes[level], 2 * features, features)]
            layers += [conv(sizes[level], features, features)]
    channels = 2 * w * len(network.bands)
    if network.head == "conv":
        layers.append(conv(sizes[0], channels, network.head_width))
        channels = network.head_width
    layers.append(dense(height * width, channels, network.num_classes))
    first, layers = ([sum(c) for c in zip(*part, strict=True)] for part in (first, layers))
    return first, [a + b for a, b in zip(first, layers, strict=True)], values


SMALL = {"num_classes": 3, "width": 2, "levels": 1, "num_periods": 2}


@pytest.mark.parametrize(
    ("network", "side"),
    [
        (DualUNet3D(BANDS), 64),
        (DualUNet3D(BANDS, **SMALL, head="conv", head_width=5), 4),
        (DualUNet3D({"a": 7}, **SMALL), 8),
    ],
)
def test_xla_counts_the_convolutions_and_a_little_for_each_value(network, side):
    (_, first), (_, forward), values = by_hand(network, side, side)
    # Of a value: bias, mean, scale, offset and ReLU; maximum, concatenation. Then their gradients.
    assert (
        2 * values < count_flops(network, dict(network.bands), side, side) - forward < 12 * values
    )
    # A gradient to the kernel, and one to the input but for the first, take as much as forward.
    more = count_flops(network, dict(network.bands), side, side, train=True) - (3 * forward - first)
    assert 6 * values < more < 60 * values


def test_the_original_network():
    """Its convolutions over whole windows, and what XLA leaves out of that."""
    network = DualUNet3D(BANDS)
    (first, _), (forward, inside), _ = by_hand(network, 64, 64)
    assert (forward, 3 * forward - first) == (12_946_767_872, 38_330_695_680)
    # 3.1 % of them are products with padding; what is counted for each value adds 0.2 %, and to
    # the gradient not much more.
    assert inside / forward == pytest.approx(0.969, abs=0.0005)
    for train, by_hand_count in ((False, forward), (True, 3 * forward - first)):
        found = count_flops(network, BANDS, 64, 64, train)
        assert found / by_hand_count == pytest.approx(0.9715, abs=0.002)


def test_any_network_is_counted():
    class Pointwise(nn.Module):
        num_periods: int = 3

        @nn.compact
        def __call__(self, pixels, valid, day_of_year, train=False):
            x = jnp.moveaxis(pixels["a"], 1, -2)
            return nn.Dense(5, name="head")(x.reshape(*x.shape[:3], -1))

    # 16 pixels, a product of 6 values with 6 x 5 weights, and 5 biases.
    assert count_flops(Pointwise(), {"a": 2}, 4, 4) == 16 * (2 * 6 * 5 + 5)


def test_pytorch_counts_the_same():
    torch = pytest.importorskip("torch")
    from torch.utils.flop_counter import FlopCounterMode

    from benchmarks import torch_twin

    twin = torch_twin.DualUNet3D(num_classes=3, width=2, num_periods=2)
    network = DualUNet3D(BANDS, num_classes=3, width=2, num_periods=2)
    (first, _), (forward, _), _ = by_hand(network, 16, 32)
    counter = FlopCounterMode(display=False)
    with counter:
        logits = twin(torch.rand(1, 2, 2, 16, 32), torch.rand(1, 10, 2, 16, 32))
    assert counter.get_total_flops() == forward
    with counter:
        logits.sum().backward()
    assert counter.get_total_flops() == 2 * forward - first
