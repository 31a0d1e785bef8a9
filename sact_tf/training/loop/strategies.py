"""From `runtime` of a config to a `tf.distribute.Strategy`."""

import json
import os
from collections.abc import Sequence

import numpy as np
import tensorflow as tf

from sact_tf.errors import UserError
from sact_tf.text import one_line
from sact_tf.training.config.sections import RuntimeConfig


def build_strategy(config: RuntimeConfig) -> tf.distribute.Strategy:
    """Builds the strategy; `multi_worker_mirrored` waits here until all workers are there.

    Nothing may have run in TensorFlow before: devices and collectives are set up at its start. A
    process that trains several models gets the same strategy each time, as the collectives of two
    would take each other's places.

    Raises:
        UserError: the devices or the cluster are not there.
    """
    key = (config.strategy, config.replicas, config.tpu)
    if key not in _built:
        _built[key] = _build(config)
    return _built[key]


_built: dict[tuple, tf.distribute.Strategy] = {}


def _build(config: RuntimeConfig) -> tf.distribute.Strategy:
    if config.strategy == "one_device":
        return tf.distribute.get_strategy()
    if config.strategy == "mirrored":
        return tf.distribute.MirroredStrategy(_devices(config.replicas))
    if config.strategy == "multi_worker_mirrored":
        read_task()  # says more clearly what is wrong with TF_CONFIG than TensorFlow does
        return tf.distribute.MultiWorkerMirroredStrategy()
    try:
        resolver = tf.distribute.cluster_resolver.TPUClusterResolver(tpu=config.tpu)
        tf.config.experimental_connect_to_cluster(resolver)
        tf.tpu.experimental.initialize_tpu_system(resolver)
        return tf.distribute.TPUStrategy(resolver)
    except (tf.errors.OpError, ValueError, OSError) as error:
        reason = one_line(error)[:200]
        raise UserError(f"runtime.tpu: no TPU at {config.tpu!r}: {reason}") from None


def read_task() -> tuple[str, int, int]:
    """What `TF_CONFIG` says of this process.

    Returns:
        Its task's type and index, and the number of workers.

    Raises:
        UserError: it is missing or incomplete.
    """
    text = os.environ.get("TF_CONFIG")
    example = '{"cluster": {"worker": ["host1:port", ...]}, "task": {"type": "worker", "index": 0}}'
    if not text:
        raise UserError(
            "runtime.strategy: multi_worker_mirrored needs the environment variable TF_CONFIG in "
            f"each process, such as {example}; on one machine, python -m train.launch_local sets it"
        )
    try:
        content = json.loads(text)
        workers = [*content["cluster"].get("chief", []), *content["cluster"].get("worker", [])]
        kind, index = content["task"]["type"], int(content["task"]["index"])
        known = kind in ("chief", "worker") and 0 <= index < len(content["cluster"][kind])
    except (ValueError, KeyError, TypeError, AttributeError):
        known = False
    if not known:
        raise UserError(f"TF_CONFIG: expected JSON such as {example}, received {text:.300}")
    return kind, index, len(workers)


def worker_index(strategy: tf.distribute.Strategy) -> int:
    """Number of this process among the workers; 0 is the chief."""
    resolver = strategy.cluster_resolver
    if not isinstance(strategy, tf.distribute.MultiWorkerMirroredStrategy):
        return 0
    chiefs = len(resolver.cluster_spec().as_dict().get("chief", []))
    return resolver.task_id + (chiefs if resolver.task_type == "worker" else 0)


def num_workers(strategy: tf.distribute.Strategy) -> int:
    """Number of processes that train together."""
    if not isinstance(strategy, tf.distribute.MultiWorkerMirroredStrategy):
        return 1
    return sum(map(len, strategy.cluster_resolver.cluster_spec().as_dict().values()))


def _devices(replicas: int | None) -> list[str]:
    """Names of the devices to mirror on: GPUs, or logical CPU devices where there is none."""
    gpus = len(tf.config.list_physical_devices("GPU"))
    if gpus:
        if replicas and replicas > gpus:
            raise UserError(
                f"runtime.replicas: expected at most the number of GPUs ({gpus}), received "
                f"{replicas}"
            )
        return [f"GPU:{index}" for index in range(replicas or gpus)]
    count = replicas or 1
    (cpu,) = tf.config.list_physical_devices("CPU")
    try:
        tf.config.set_logical_device_configuration(
            cpu, [tf.config.LogicalDeviceConfiguration()] * count
        )
    except RuntimeError:
        # TensorFlow has started in this process; its devices are what they are.
        if len(tf.config.list_logical_devices("CPU")) < count:
            raise UserError(
                f"runtime.replicas: this process has not {count} logical CPU devices"
            ) from None
    return [f"CPU:{index}" for index in range(count)]


def gather(strategy: tf.distribute.Strategy, row: Sequence[int]) -> np.ndarray:
    """Returns when all workers have come here, with what each of them brings.

    Args:
        strategy: of the run.
        row: of this worker; ints, as many on each.

    Returns:
        int64 [workers, len(row)].
    """
    workers = num_workers(strategy)
    table = np.zeros([workers, len(row)], np.int64)
    table[worker_index(strategy)] = row
    if workers == 1:
        return table
    replicas = strategy.num_replicas_in_sync // workers

    def meet():
        context = tf.distribute.get_replica_context()
        is_first = context.replica_id_in_sync_group % replicas == 0
        return context.all_reduce(tf.distribute.ReduceOp.SUM, tf.where(is_first, table, 0))

    return strategy.experimental_local_results(strategy.run(tf.function(meet)))[0].numpy()


def wait_for_all(strategy: tf.distribute.Strategy) -> None:
    """Returns when all workers have come here."""
    if num_workers(strategy) > 1:

        def meet():
            context = tf.distribute.get_replica_context()
            return context.all_reduce(tf.distribute.ReduceOp.SUM, tf.ones([]))

        strategy.experimental_local_results(strategy.run(tf.function(meet)))[0].numpy()
