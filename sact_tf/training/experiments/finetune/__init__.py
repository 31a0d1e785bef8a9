"""A network of `keras.applications`, adapted to a folder of images and a compute budget."""
