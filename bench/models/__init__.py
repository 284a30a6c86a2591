"""Forecasts, drift and touchpoints: what they find, how early, how often falsely, and what they cost."""
