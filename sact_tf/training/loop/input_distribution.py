"""Sharing the stream of training batches among replicas and workers."""

from collections.abc import Callable, Iterable
from typing import Any

import tensorflow as tf

from sact_tf.training.loop.strategies import num_workers, worker_index


def distributed_batches(
    strategy: tf.distribute.Strategy,
    make: Callable[..., tf.data.Dataset],
    batch_size: int,
    first_batch: int,
) -> Iterable[Any]:
    """Each worker reads its own part of every batch, and each of its replicas a part of that.

    Whatever their number, together they get the very examples of the batch: replica 0 of worker 0
    the first ones, and so on.

    Args:
        strategy: of the run.
        make: `make(batch_size, start_step, step_stride)` gives the batches number `start_step`,
            `start_step + step_stride`, ... of the endless stream.
        batch_size: of all replicas together; a multiple of their number.
        first_batch: how many batches to leave out.

    Returns:
        An iterable of elements for `strategy.run`.
    """
    workers, index = num_workers(strategy), worker_index(strategy)
    replicas = strategy.num_replicas_in_sync

    def of_this_worker(context: tf.distribute.InputContext) -> tf.data.Dataset:
        del context
        # The part of worker i of batch n is number n * workers + i among parts of this size.
        dataset = make(batch_size // workers, first_batch * workers + index, workers)
        if replicas > workers:
            dataset = dataset.rebatch(batch_size // replicas, drop_remainder=True).prefetch(
                2 * replicas // workers
            )
        return dataset

    return strategy.distribute_datasets_from_function(of_this_worker)
