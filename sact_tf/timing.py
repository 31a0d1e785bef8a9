"""Timing functions in turns, and what must be said of the machine they ran on."""

import os
import platform
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

_LEAST_TURNS = 3


def interleaved(
    functions: Mapping[str, Callable[[], object]],
    turns: int,
    warm_up: int = 2,
    seconds: float | None = None,
) -> dict[str, list[float]]:
    """Times functions in turns, so that a busy moment of the machine meets all of them.

    Args:
        functions: callables without arguments, by name; each returns when its work is done.
        turns: in which every function runs once and counts.
        warm_up: turns before them (tracing, memory pools).
        seconds: no turn begins later than this after the warm-up, but for the first three.

    Returns:
        Dict by name of a list of milliseconds, one for each turn.
    """
    times: dict[str, list[float]] = {name: [] for name in functions}
    for _ in range(warm_up):
        for function in functions.values():
            function()
    begin = time.perf_counter()
    for turn in range(turns):
        if seconds is not None and turn >= _LEAST_TURNS and time.perf_counter() - begin > seconds:
            break
        for name, function in functions.items():
            start = time.perf_counter()
            function()
            times[name].append(1e3 * (time.perf_counter() - start))
    return times


def ratios(times: Sequence[float], base: Sequence[float]) -> dict[str, float]:
    """What the turns say of a function beside another one.

    Args:
        times, base: milliseconds of both, turn by turn.

    Returns:
        Dict of `time_ratio` (median of the turns' ratios), `time_ratio_min` and `time_ratio_max`
        (their quartiles), `time_ratio_of_fastest`, `milliseconds` (median) and `milliseconds_min`.
    """
    each = [one / other for one, other in zip(times, base, strict=True)]
    low, middle, high = (
        statistics.quantiles(each, n=4, method="inclusive") if len(each) > 1 else each * 3
    )
    return {
        "time_ratio": middle,
        "time_ratio_min": low,
        "time_ratio_max": high,
        "time_ratio_of_fastest": min(times) / min(base),
        "milliseconds": statistics.median(times),
        "milliseconds_min": min(times),
    }


def machine() -> dict[str, Any]:
    """Processor, cores and load of this machine, and the `threads` that it may run at once."""
    model = platform.processor()
    if os.path.exists("/proc/cpuinfo"):
        with open("/proc/cpuinfo", encoding="utf-8") as file:
            names = [line.split(":")[1].strip() for line in file if line.startswith("model name")]
        model = names[0] if names else model
    cores = os.cpu_count()
    has_affinity = hasattr(os, "sched_getaffinity")
    return {
        "processor": model,
        "cores": cores,
        "threads": len(os.sched_getaffinity(0)) if has_affinity else cores,
        "system": platform.platform(),
        "load_average": os.getloadavg()[0],
    }
