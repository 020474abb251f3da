"""The network in PyTorch, with the names of the original state dict: to compare with, not to use.

Tensors are [batch, channel, time, height, width].
"""

import torch
from torch import nn


def conv_norm_relu(conv: type[nn.Module], norm: type[nn.Module], *settings: tuple) -> nn.Sequential:
    """Chains a convolution, batch norm and ReLU for each (arguments, keyword arguments)."""
    layers = []
    for args, kwargs in settings:
        layers += [conv(*args, **kwargs), norm(args[1]), nn.ReLU(inplace=True)]
    return nn.Sequential(*layers)


class TimeConv(nn.Module):
    """Two 3-D convolutions, the second over the whole length of time, which it removes."""

    def __init__(self, channels: int, width: int, num_periods: int):
        super().__init__()
        self.conv = conv_norm_relu(
            nn.Conv3d,
            nn.BatchNorm3d,
            ((channels, width, 3), {"padding": 1}),
            ((width, width, (num_periods, 1, 1)), {}),
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.conv(x).squeeze(2)


class DoubleConv(nn.Module):
    """Two 3 x 3 convolutions without bias, each with batch norm and ReLU."""

    def __init__(self, channels: int, features: int):
        super().__init__()
        settings = {"padding": 1, "bias": False}
        self.conv = conv_norm_relu(
            nn.Conv2d,
            nn.BatchNorm2d,
            ((channels, features, 3), settings),
            ((features, features, 3), settings),
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.conv(x)


class UNet(nn.Module):
    """2-D U-Net of four levels and a bottleneck."""

    def __init__(self, channels: int, levels: tuple[int, ...]):
        super().__init__()
        inputs = (channels, *levels[:-1])
        self.downs = nn.ModuleList(map(DoubleConv, inputs, levels))
        self.bottleneck = DoubleConv(levels[-1], 2 * levels[-1])
        self.ups = nn.ModuleList()
        for features in reversed(levels):
            self.ups.append(nn.ConvTranspose2d(2 * features, features, 2, stride=2))
            self.ups.append(DoubleConv(2 * features, features))
        self.pool = nn.MaxPool2d(2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        skips = []
        for down in self.downs:
            x = down(x)
            skips.append(x)
            x = self.pool(x)
        x = self.bottleneck(x)
        for upsample, conv in zip(self.ups[::2], self.ups[1::2], strict=True):
            x = conv(torch.cat([skips.pop(), upsample(x)], dim=1))
        return x


class UNet3D(nn.Module):
    """One sensor's branch: time is convolved away, then a U-Net."""

    def __init__(self, channels: int, width: int, num_periods: int):
        super().__init__()
        self.conv3d = TimeConv(channels, width, num_periods)
        self.unet = UNet(width, (2 * width, 4 * width, 8 * width, 16 * width))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.unet(self.conv3d(x))


class DualUNet3D(nn.Module):
    """The European network; gives logits [batch, class, height, width]."""

    def __init__(self, num_classes: int = 21, width: int = 32, num_periods: int = 6):
        super().__init__()
        self.unet3d_s1 = UNet3D(2, width, num_periods)
        self.unet3d_s2 = UNet3D(10, width, num_periods)
        self.final_conv = nn.Conv2d(4 * width, num_classes, 1)

    def forward(self, s1: torch.Tensor, s2: torch.Tensor) -> torch.Tensor:
        return self.final_conv(torch.cat([self.unet3d_s1(s1), self.unet3d_s2(s2)], dim=1))


class ConvHead(nn.Module):
    """3 x 3 convolution with bias, batch norm, ReLU, then 1 x 1."""

    def __init__(self, channels: int, num_classes: int, head_width: int):
        super().__init__()
        self.conv = nn.Sequential(
            nn.Conv2d(channels, head_width, 3, padding=1),
            nn.BatchNorm2d(head_width),
            nn.ReLU(inplace=True),
            nn.Conv2d(head_width, num_classes, 1),
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.conv(x)


class FineTuned(nn.Module):
    """The European network's trunk under a new head; gives logits."""

    def __init__(self, dualunet3d: DualUNet3D, num_classes: int = 8, head_width: int = 32):
        super().__init__()
        self.final_conv = ConvHead(dualunet3d.final_conv.in_channels, num_classes, head_width)
        self.dualunet3d = dualunet3d
        self.dualunet3d.final_conv = nn.Identity()

    def forward(self, s1: torch.Tensor, s2: torch.Tensor) -> torch.Tensor:
        return self.final_conv(self.dualunet3d(s1, s2))
