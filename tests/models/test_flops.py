"""The arithmetic of a network, against a count by hand and against PyTorch's."""

import pytest

from cropmap_jax.models import DualUNet3D
from cropmap_jax.models.flops import count_flops


def test_count_by_hand():
    network = DualUNet3D(num_classes=3, head="conv", width=2, levels=1, num_periods=2, head_width=5)
    pixels, first, forward = 4 * 6, 0, 0
    for channels in (2, 10):
        first += 2 * pixels * 2 * 27 * channels * 2
        forward += 2 * pixels * 2 * 2 * 2  # over time
        forward += 2 * pixels * 9 * (2 * 4 + 4 * 4)  # down
        forward += 2 * pixels // 4 * 9 * (4 * 8 + 8 * 8)  # bottleneck
        forward += 2 * pixels // 4 * 4 * 8 * 4  # upsampling
        forward += 2 * pixels * 9 * (8 * 4 + 4 * 4)  # up
    forward += 2 * pixels * (9 * 8 * 5 + 5 * 3)  # head
    assert count_flops(network, 4, 6) == first + forward
    assert count_flops(network, 4, 6, train=True) == 2 * first + 3 * forward


def test_the_network_of_the_seed():
    assert count_flops(DualUNet3D(), 64, 64) == 12_946_767_872
    assert count_flops(DualUNet3D(), 64, 64, train=True) == 38_330_695_680


def test_pytorch_counts_the_same():
    torch = pytest.importorskip("torch")
    from torch.utils.flop_counter import FlopCounterMode

    from benchmarks import torch_twin

    twin = torch_twin.DualUNet3D(num_classes=3, width=2, num_periods=2)
    network = DualUNet3D(num_classes=3, width=2, num_periods=2)
    counter = FlopCounterMode(display=False)
    with counter:
        logits = twin(torch.rand(1, 2, 2, 16, 32), torch.rand(1, 10, 2, 16, 32))
    assert counter.get_total_flops() == count_flops(network, 16, 32)
    with counter:
        logits.sum().backward()
    backward = count_flops(network, 16, 32, train=True) - count_flops(network, 16, 32)
    assert counter.get_total_flops() == backward
