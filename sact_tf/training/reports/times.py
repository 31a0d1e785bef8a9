"""What reports and tables say of the time that networks take for images."""

from collections.abc import Mapping
from typing import Any

from sact_tf.training.loop.inference_time import at_once, beside_plain, times_of
from sact_tf.visualization import html

_HEADER = ("time", "fastest execution", "ms per image", "plain, ms", "of plain (quartiles)")
_PLAIN_HEADER = ("time", "ms per image")


def key_numbers(metrics: Mapping[str, Any]) -> list[tuple[str, str, str]]:
    """The time per image in batches, as `html.numbers` takes it; empty if it was not measured."""
    return [
        (
            "Time per image",
            milliseconds(times),
            beside_plain(times) + at_once(times),
        )
        for times in times_of(metrics)[-1:]
    ]


def time_table(metrics: Mapping[str, Any]) -> str:
    """HTML of the times of a run; empty if they were not measured."""
    if metrics["halting"] is None:
        return _plain_time_table(metrics)
    rows = [
        (
            at_once(times),
            times["execution"],
            milliseconds(times).removesuffix(" ms"),
            f"{times['plain_milliseconds_per_image']:.3g}",
            f"{times['time_ratio']:.2f} ({times['time_ratio_min']:.2f} to "
            f"{times['time_ratio_max']:.2f})",
        )
        for times in times_of(metrics)
    ]
    if not rows:
        return ""
    verdict = ""
    if all(times["time_ratio"] >= 1 for times in times_of(metrics)):
        verdict = (
            " Halting gains no time here. Wide networks on large images with much background gain: "
            "docs/when_it_pays.md."
        )
    return html.table(_HEADER, rows) + html.paragraph(
        f"On {processor(metrics)}. Held-out images; plain is the network of the same weights "
        f"without halting. Both took their turns on the same images; medians.{verdict}"
    )


def _plain_time_table(metrics):
    rows = [
        (at_once(times), milliseconds(times).removesuffix(" ms")) for times in times_of(metrics)
    ]
    if not rows:
        return ""
    return html.table(_PLAIN_HEADER, rows) + html.paragraph(
        f"On {processor(metrics)}. Held-out images; medians."
    )


def processor(metrics: Mapping[str, Any]) -> str:
    """What the times were measured on, in words."""
    timing = metrics["timing"]
    threads = timing["threads"]
    return timing["processor"] + (f", {threads} threads" if threads else "")


def milliseconds(times: Mapping[str, Any]) -> str:
    """Per image."""
    return f"{times['milliseconds_per_image']:.3g} ms"


def time_share(row: Mapping[str, Any], full: Mapping[str, Any] | None, same_units: bool) -> float:
    """Time per image, in batches if they were measured, over that of a plain network.

    Args:
        row: metrics of a network, with times.
        full: metrics of the plain network, None if there is none.
        same_units: whether the network has the plain one's units: then the comparison is that of
            `timing`, made in turns, otherwise one between two hours of the machine.
    """
    times = times_of(row)[-1]
    if same_units or full is None or not times_of(full):
        return times["time_ratio"]
    return times["milliseconds_per_image"] / times_of(full)[-1]["milliseconds_per_image"]
