"""An export behind TensorFlow Serving's REST interface; needs TensorFlow and Pillow, not Keras."""
