"""Plain and adaptive detectors side by side."""
