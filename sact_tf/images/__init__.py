"""Picture files as RGB pixels, by one rule for training, prediction and serving; without Keras."""
