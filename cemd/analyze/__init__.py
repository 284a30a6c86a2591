"""Analyze: columns of samples become baselines, indicators, RATER, journeys and CEI; conditions become findings.

`stage` is its part of `step`; `bank` scores every series, `windows` and `indicators` turn series into values and
scores, `rater`, `journeys` and `cei` roll them up. No asynchronous code, no clock, no incident, nobody is told anything
here.
"""
