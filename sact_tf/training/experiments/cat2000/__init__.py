"""Ponder cost maps against human fixations, on CAT2000's layout."""
