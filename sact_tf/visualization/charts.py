"""What the computation was spent on, and what it bought."""

import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, PercentFormatter

from sact_tf.visualization.figures import LIGHT, Theme

_KINDS = {None: "plain", "act": "ACT", "sact": "SACT"}
# A panel with fewer bars is as wide as one with these, or its title has no room.
_FEWEST_BARS = 4


def unit_usage_figure(
    usage: Mapping[str, Sequence[float]], mean_units: Mapping[str, float], theme: Theme = LIGHT
) -> Figure:
    """Draws, per block, which share of positions each unit was computed at.

    Args:
        usage: per block, the share (0 to 1) of positions that are active in unit 1, 2, ...
        mean_units: per block, the mean number of units over images and positions.
        theme: colours.
    """
    widths = [max(len(shares), _FEWEST_BARS) + 1.5 for shares in usage.values()]
    # Deep blocks have more bars; their panels are wider.
    figure = Figure(figsize=(min(12.0, max(6.0, 0.42 * sum(widths))), 2.7))
    axes = figure.subplots(
        1, len(usage), squeeze=False, sharey=True, gridspec_kw={"width_ratios": widths}
    )[0]
    for axis, (block, shares) in zip(axes, usage.items(), strict=True):
        numbers = np.arange(1, len(shares) + 1)
        axis.bar(numbers, shares, width=0.72, color=theme.cycle[0], zorder=2)
        if len(shares) <= 8:
            for number, share in zip(numbers, shares, strict=True):
                axis.text(number, share + 0.015, f"{share:.0%}", ha="center", fontsize=7.5)
        axis.set_title(f"{block}: {mean_units[block]:.2f} of {len(shares)}")
        axis.set_xlabel("unit")
        axis.set_ylim(0, 1.1)
        axis.grid(axis="x", visible=False)
        if len(shares) <= 12:
            axis.set_xticks(numbers)
        else:
            axis.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=12))
        axis.set_xlim(0.4, max(len(shares), _FEWEST_BARS) + 0.6)
    axes[0].set_ylabel("share of positions")
    axes[0].yaxis.set_major_formatter(PercentFormatter(1.0))
    axes[0].set_yticks(np.linspace(0, 1, 5))
    return figure


def flops_figure(flops: Sequence[float], plain_flops: float, theme: Theme = LIGHT) -> Figure:
    """Draws how the FLOPs are distributed over images, against the network without halting.

    Args:
        flops: per image.
        plain_flops: of the same network without halting, per image.
        theme: colours.
    """
    counts = np.asarray(flops, np.float64)
    scale, unit = flops_unit(max(float(counts.max()), plain_flops))
    figure = Figure(figsize=(6.0, 2.6))
    axis = figure.subplots()
    num_bins = 40 if counts.max() > counts.min() else 1
    axis.hist(counts / scale, bins=num_bins, zorder=2)
    share = counts.mean() / plain_flops
    axis.axvline(
        counts.mean() / scale, color=theme.cycle[1], lw=1.8, zorder=3, label=f"mean ({share:.1%})"
    )
    axis.axvline(
        plain_flops / scale, color=theme.text, linestyle="--", lw=1.2, label="without halting"
    )
    axis.legend(fontsize=8, loc="upper left")
    axis.set_xlim(0, plain_flops / scale * 1.02)
    axis.set_xlabel(f"{unit} per image")
    axis.set_ylabel("images")
    return figure


@dataclasses.dataclass(frozen=True)
class TimedNetwork:
    """What a network reaches, and the time that it takes.

    Attributes:
        name: of the network.
        halting: None, "act" or "sact".
        milliseconds: per image.
        score: accuracy or mAP.
        error: one standard error of the score; 0 where it is not known.
    """

    name: str
    halting: str | None
    milliseconds: float
    score: float
    error: float = 0.0


def time_figure(
    networks: Sequence[TimedNetwork], score: str, images: str, theme: Theme = LIGHT
) -> Figure:
    """Draws what networks reach over the time that they take.

    Args:
        networks: one or more.
        score: what the scores are.
        images: how many were computed at once, in words.
        theme: colours.
    """
    figure = Figure(figsize=(6.0, 3.4))
    axis = figure.subplots()
    slowest = max(network.milliseconds for network in networks)
    labels = dict.fromkeys(_KINDS)
    for network in networks:
        labels[network.halting] = axis.errorbar(
            network.milliseconds,
            network.score,
            yerr=network.error or None,
            color=kind_color(network.halting, theme),
            marker="o",
            elinewidth=0.8,
            capsize=2,
            linestyle="",
        )
        # Into the figure: names of slow networks stand on their left.
        side, offset = ("right", -7) if network.milliseconds > slowest / 2 else ("left", 7)
        axis.annotate(
            network.name, (network.milliseconds, network.score), (offset, 0),
            textcoords="offset points", ha=side, va="center", fontsize=8,
        )  # fmt: skip
    axis.set_xlim(0, 1.06 * slowest)
    axis.margins(y=0.15)
    axis.set_xlabel(f"ms per image, {images}")
    axis.set_ylabel(
        f"{score}, one standard error" if any(network.error for network in networks) else score
    )
    shown = {_KINDS[kind]: handle for kind, handle in labels.items() if handle is not None}
    figure.legend(shown.values(), shown.keys(), loc="outside upper right", ncols=len(shown))
    return figure


def kind_color(halting: str | None, theme: Theme) -> str:
    """The colour of networks with that halting, in every figure."""
    return {None: theme.text, "act": theme.cycle[1], "sact": theme.cycle[0]}[halting]


def flops_unit(largest: float) -> tuple[float, str]:
    """Returns (divisor, name) of the unit in which counts up to `largest` read well."""
    for scale, name in ((1e9, "GFLOPs"), (1e6, "MFLOPs"), (1e3, "kFLOPs")):
        if largest >= scale:
            return scale, name
    return 1.0, "FLOPs"
