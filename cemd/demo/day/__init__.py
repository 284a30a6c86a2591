"""The operator's day: the real core in a world whose truth is known, and the scorecard of its answers.

`drive` lets the core live through the world in virtual time, `witness` writes down what it said, `judge` holds that
against the truth, `baseline` is what static thresholds would have done; `scorecard`, `page` and `compare` are for
people.
"""
