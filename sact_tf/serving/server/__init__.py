"""An export behind TensorFlow Serving's REST interface; needs TensorFlow alone, not Keras."""
