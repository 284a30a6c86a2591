"""Models that look ahead and across: forecasts, drift, touchpoints as a whole.

They stand on the values of indicators, not on samples, at the pace of the indicators' windows. Their state is what they
were given (rings of numbers in columns); models of libraries are made anew from it, so a snapshot holds no pickle and a
replay has the same bits. No clock, no chance but what is seeded by an identity, and no finding's words.
"""
