"""Random numbers that are a function of a key, for whole arrays of keys at once.

A generator object per example would cost more than the example. The mixing function is the
finaliser of SplitMix64 (Steele, Lea, Flood: Fast splittable pseudorandom number generators, 2014).
"""

import numpy as np

_GOLDEN_GAMMA = np.uint64(0x9E3779B97F4A7C15)


def _mix(bits: np.ndarray) -> np.ndarray:
    bits = (bits ^ (bits >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    bits = (bits ^ (bits >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return bits ^ (bits >> np.uint64(31))


def random_keys(*parts: int | np.ndarray) -> np.ndarray:
    """Folds numbers into one key per example.

    Args:
        *parts: non-negative ints, or int arrays [N]. The order counts.

    Returns:
        uint64 [N].
    """
    keys = np.zeros([1], np.uint64)
    for part in parts:
        keys = _mix(keys + _GOLDEN_GAMMA + _mix(np.atleast_1d(np.asarray(part)).astype(np.uint64)))
    return keys


def random_uniform(keys: np.ndarray, count: int) -> np.ndarray:
    """Numbers in [0, 1).

    Args:
        keys: uint64 [N].
        count: numbers per key.

    Returns:
        float64 [N, count].
    """
    counters = np.arange(1, count + 1, dtype=np.uint64) * _GOLDEN_GAMMA
    return (_mix(keys[:, None] + counters) >> np.uint64(11)) * 2.0**-53


def augmentation_seeds(keys: np.ndarray) -> np.ndarray:
    """Seeds for TensorFlow's stateless random operations.

    Args:
        keys: uint64 [N].

    Returns:
        int32 [N, 2].
    """
    return _mix(keys + _GOLDEN_GAMMA).view(np.int32).reshape(-1, 2)
