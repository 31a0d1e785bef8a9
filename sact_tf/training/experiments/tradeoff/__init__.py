"""FLOPs against accuracy: plain networks, ACT, SACT and matched baselines."""
