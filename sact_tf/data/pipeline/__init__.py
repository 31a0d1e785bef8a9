"""How examples become streams of batches: order, random numbers, errors, corrupt images."""
