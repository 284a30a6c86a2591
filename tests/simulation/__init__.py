"""Simulation: promises hold over seeds, a seed replays exactly, and planted defects are caught."""
