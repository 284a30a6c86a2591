"""The nouns: measurement, finding, incident, communication, notice, customer columns, entries and effects.

No I/O, no clock, no configuration, no behaviour of a wing. Samples and customers are columns; everything else is a
frozen record. What the log holds and what leaves the core is defined in `entry` and `effect`.
"""
