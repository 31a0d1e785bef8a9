"""The authors' networks in plain NumPy, float64, from their variables by name.

Written from the paper and from the description of the authors' code, apart from the package: the
golden files hold few image sizes, and padding rules show their differences at odd ones.
"""

import numpy as np

EPSILON = 0.01


class NumpyNetwork:
    """Inference of an ImageNet or CIFAR network.

    Args:
        variables: float arrays by the authors' names.
        network: "imagenet" or "cifar".
        halting: None, "act" or "sact".
    """

    def __init__(self, variables, network, halting):
        self.variables = {name: np.asarray(v, np.float64) for name, v in variables.items()}
        self.is_imagenet = network == "imagenet"
        self.halting = halting

    def __call__(self, images):
        """Images [B, H, W, 3] -> dict of logits, flops [B] and, by block number, its results."""
        results = {}
        if self.is_imagenet:
            x, flops = self.convolve("resnet_v2/conv1", images, stride=2, symmetric=True)
            x = max_pool_same(x)
        else:
            x, flops = self.convolve("resnet_residual/Conv", images)
        block = 1
        while self.block_scope(block) is not None:
            results[block] = self.block(self.block_scope(block), x, stride=1 if block == 1 else 2)
            x = results[block]["out"]
            flops = flops + results[block]["flops"]
            block += 1
        if self.is_imagenet:
            x = self.activate(self.normalize("resnet_v2/postnorm", x))
            x = x.mean((1, 2), keepdims=True)
            logits, head_flops = self.convolve("resnet_v2/logits", x)
        else:
            x = x.mean((1, 2), keepdims=True)
            x = self.activate(self.normalize("resnet_residual/BatchNorm", x))
            logits, head_flops = self.convolve("resnet_residual/logits", x)
        return {"logits": logits[:, 0, 0], "flops": flops + head_flops, "blocks": results}

    def block_scope(self, number):
        scope = (
            f"resnet_v2/block{number}" if self.is_imagenet else f"resnet_residual/block_{number}"
        )
        return scope if any(name.startswith(scope + "/") for name in self.variables) else None

    def block(self, scope, x, stride):
        """Algorithms 1 and 2 of the paper, position by position where they say so."""
        total = 1
        while any(name.startswith(f"{scope}/unit_{total + 1}/") for name in self.variables):
            total += 1
        batch = len(x)
        state, flops = self.unit(f"{scope}/unit_1", x, stride)
        grid = (batch, *state.shape[1:3]) if self.halting == "sact" else (batch, 1, 1)
        cumulative, remainder = np.zeros(grid), np.ones(grid)
        cost, number = np.zeros(grid), np.zeros(grid, np.int64)
        active = np.ones(grid, bool)
        output, distribution = np.zeros_like(state), []
        for unit in range(1, total + 1):
            unit_flops = flops if unit == 1 else np.zeros(batch, np.int64)
            if unit > 1:
                mask = active if self.halting == "sact" else np.ones(state.shape[:3], bool)
                state, unit_flops = self.unit(f"{scope}/unit_{unit}", state, 1, mask)
            score = np.ones(grid) if unit == total else np.zeros(grid)
            if unit < total and self.halting:
                mask = active if self.halting == "sact" else None
                score, more = self.score(f"{scope}/unit_{unit}/halting_proba", state, mask)
                unit_flops = unit_flops + more
            if self.halting == "act":
                unit_flops = unit_flops * active[:, 0, 0]
            flops = unit_flops if unit == 1 else flops + unit_flops
            cost[active] += 1
            number[active] += 1
            cumulative = cumulative + score
            halts = active & (cumulative >= 1 - EPSILON)
            goes_on = active & ~halts
            weight = np.where(halts, remainder, np.where(goes_on, score, 0))
            cost[halts] += remainder[halts]
            remainder = np.where(goes_on, remainder - score, remainder)
            output += weight[..., np.newaxis] * state
            distribution.append(weight)
            active = goes_on
        return {
            "out": output,
            "flops": flops,
            "ponder_cost": cost,
            "num_units": number,
            "halting_distribution": np.stack(distribution, -1),
        }

    def unit(self, scope, x, stride, mask=None):
        return (self.bottleneck if self.is_imagenet else self.basic)(scope, x, stride, mask)

    def bottleneck(self, scope, x, stride, mask):
        scope += "/bottleneck_v2"
        preact = self.activate(self.normalize(f"{scope}/preact", x))
        flops = 0
        if f"{scope}/shortcut/weights" in self.variables:
            shortcut, flops = self.convolve(f"{scope}/shortcut", preact, stride)
        else:
            shortcut = x[:, ::stride, ::stride]
        outer = None if mask is None else dilate(mask)
        y, more = self.convolve(f"{scope}/conv1", preact, mask=outer)
        flops = flops + more
        y = self.activate(self.normalize(f"{scope}/conv1/BatchNorm", y))
        y, more = self.convolve(f"{scope}/conv2", y, stride, symmetric=True, mask=mask)
        flops = flops + more
        y = self.activate(self.normalize(f"{scope}/conv2/BatchNorm", y))
        y, more = self.convolve(f"{scope}/conv3", y, mask=mask)
        if mask is not None:
            y = y * mask[..., np.newaxis]
        return shortcut + y, flops + more

    def basic(self, scope, x, stride, mask):
        is_first = scope.endswith("block_1/unit_1")
        scope += "/residual"
        preact = self.activate(self.normalize(f"{scope}/preact", x))
        shortcut = preact if is_first else x
        outer = None if mask is None else dilate(mask)
        y, flops = self.convolve(f"{scope}/conv1", preact, stride, mask=outer)
        y = self.activate(self.activate(self.normalize(f"{scope}/conv1/BatchNorm", y)))
        y, more = self.convolve(f"{scope}/conv2", y, mask=mask)
        if stride > 1:
            shortcut = mean_pool_existing(shortcut)
            missing = y.shape[-1] - shortcut.shape[-1]
            shortcut = np.pad(shortcut, [(0, 0)] * 3 + [(missing // 2, missing // 2)])
        if mask is not None:
            y = y * mask[..., np.newaxis]
        return shortcut + y, flops + more

    def score(self, scope, x, mask):
        """Halting scores [B, h, w] or [B, 1, 1] and their operations."""
        activate = (lambda v: v) if self.is_imagenet else self.activate
        mean = activate(self.normalize(f"{scope}/global_bn", x.mean((1, 2), keepdims=True)))
        logits, flops = self.convolve(f"{scope}/global_conv", mean)
        if self.halting == "sact":
            local = activate(self.normalize(f"{scope}/local_bn", x))
            local, more = self.convolve(f"{scope}/local_conv", local, mask=mask)
            logits, flops = logits + local, flops + more
        return 1 / (1 + np.exp(-logits[..., 0])), flops

    def activate(self, x):
        return np.maximum(x, 0 if self.is_imagenet else 0.1 * x)

    def normalize(self, scope, x):
        gamma, beta, mean, variance = (
            self.variables[f"{scope}/{part}"]
            for part in ("gamma", "beta", "moving_mean", "moving_variance")
        )
        epsilon = 1e-5 if self.is_imagenet else 1e-3
        return gamma * (x - mean) / np.sqrt(variance + epsilon) + beta

    def convolve(self, scope, x, stride=1, symmetric=False, mask=None):
        """Convolution with zero padding, and its operations per image at the masked positions."""
        kernel = self.variables[f"{scope}/weights"]
        size, _, channels_in, channels_out = kernel.shape
        paddings = [
            ((size - 1) // 2,) * 2 if symmetric else same_padding(length, size, stride)
            for length in x.shape[1:3]
        ]
        x = np.pad(x, [(0, 0), *paddings, (0, 0)])
        rows, columns = ((length - size) // stride + 1 for length in x.shape[1:3])
        y = np.zeros((len(x), rows, columns, channels_out))
        for i in range(size):
            for j in range(size):
                window = x[:, i : i + stride * rows : stride, j : j + stride * columns : stride]
                y += window[:, :rows, :columns] @ kernel[i, j]
        y += self.variables.get(f"{scope}/biases", 0.0)
        positions = np.full(len(x), rows * columns) if mask is None else mask.sum((1, 2))
        return y, 2 * size**2 * channels_in * channels_out * positions.astype(np.int64)


def same_padding(length, size, stride):
    """TensorFlow's SAME: as little as possible, the odd one at the end."""
    total = max((-(-length // stride) - 1) * stride + size - length, 0)
    return total // 2, total - total // 2


def max_pool_same(x):
    """3 x 3 windows of stride 2."""
    paddings = [same_padding(length, 3, 2) for length in x.shape[1:3]]
    rows, columns = (-(-length // 2) for length in x.shape[1:3])
    x = np.pad(x, [(0, 0), *paddings, (0, 0)], constant_values=-np.inf)
    windows = [
        x[:, i : i + 2 * rows - 1 : 2, j : j + 2 * columns - 1 : 2]
        for i in range(3)
        for j in range(3)
    ]
    return np.max(windows, axis=0)


def mean_pool_existing(x):
    """2 x 2 windows of stride 2; at an odd border the mean of what exists."""
    rows, columns = (-(-length // 2) for length in x.shape[1:3])
    y = np.zeros((len(x), rows, columns, x.shape[-1]))
    for i in range(rows):
        for j in range(columns):
            y[:, i, j] = x[:, 2 * i : 2 * i + 2, 2 * j : 2 * j + 2].mean((1, 2))
    return y


def dilate(mask):
    """Each position and its eight neighbours."""
    padded = np.pad(mask, [(0, 0), (1, 1), (1, 1)])
    _, height, width = mask.shape
    windows = [padded[:, i : i + height, j : j + width] for i in range(3) for j in range(3)]
    return np.any(windows, axis=0)
