"""Interleaved timing, peak memory, and what a result must say about its machine."""

import os
import platform
import time

import numpy as np


def interleaved(functions, runs, warm_up=2):
    """Times functions in turns, so that a busy moment of the machine meets all of them.

    Args:
        functions: dict of callables without arguments, by name.
        runs: turns that count.
        warm_up: turns that don't (tracing, memory pools).

    Returns:
        Dict by name of [runs] milliseconds.
    """
    times = {name: [] for name in functions}
    for turn in range(warm_up + runs):
        for name, function in functions.items():
            start = time.perf_counter()
            function()
            if turn >= warm_up:
                times[name].append(1e3 * (time.perf_counter() - start))
    return {name: np.array(values) for name, values in times.items()}


def ratios(times, base):
    """`time_ratio` (median of the turns' ratios), its quartiles and the milliseconds."""
    each = times / base
    return {
        "time_ratio": float(np.median(each)),
        "time_ratio_min": float(np.quantile(each, 0.25)),
        "time_ratio_max": float(np.quantile(each, 0.75)),
        "time_ratio_of_fastest": float(times.min() / base.min()),
        "milliseconds": float(np.median(times)),
        "milliseconds_min": float(times.min()),
    }


def machine():
    """Processor, cores and load of this machine."""
    model = platform.processor()
    if os.path.exists("/proc/cpuinfo"):
        with open("/proc/cpuinfo", encoding="utf-8") as file:
            names = [line.split(":")[1].strip() for line in file if line.startswith("model name")]
        model = names[0] if names else model
    return {
        "processor": model,
        "cores": os.cpu_count(),
        "system": platform.platform(),
        "load_average": os.getloadavg()[0],
    }


def versions():
    """Versions that a result depends on."""
    import keras
    import tensorflow as tf

    import sact_tf

    return {
        "python": platform.python_version(),
        "tensorflow": tf.__version__,
        "keras": keras.__version__,
        "sact_tf": sact_tf.__version__,
        "onednn": os.environ.get("TF_ENABLE_ONEDNN_OPTS", "default"),
    }
