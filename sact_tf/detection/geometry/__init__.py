"""Boxes: coding, anchors, overlaps with the ground truth, choice of examples. No weights."""
