"""Models on people's own images."""
