"""Peak memory, and the file of results with what they depend on."""

import json
import os
import platform
from collections.abc import Callable
from typing import Any

from sact_tf.files import atomic_write_text
from sact_tf.timing import machine


def peak_bytes(function: Callable[[], object], runs: int = 3) -> int:
    """Bytes of tensors that are alive at most while a function runs, weights included.

    As TensorFlow's allocator counts them, in a process of its own: what the process holds beyond
    them is the allocator's reserve, which grows in steps of powers of two.
    """
    import tensorflow as tf

    device = "GPU:0" if tf.config.list_logical_devices("GPU") else "CPU:0"
    function()
    tf.config.experimental.reset_memory_stats(device)
    for _ in range(runs):
        function()
    return tf.config.experimental.get_memory_info(device)["peak"]


def write_json(path: str | os.PathLike | None, rows: list[dict[str, Any]], **about: Any) -> None:
    """Writes the rows of a table with the machine, the versions and `about`; None: nowhere."""
    if path is not None:
        result = {"machine": machine(), "versions": versions(), **about, "rows": rows}
        atomic_write_text(path, json.dumps(result, indent=1) + "\n")


def versions() -> dict[str, str]:
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
