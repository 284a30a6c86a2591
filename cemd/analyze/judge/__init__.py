"""From what turned at a tick to findings with words and numbers.

The subject is the service (at its site) that was measured; the touchpoint is noted. A finding that changes or ends says
the worst that was seen, not how it is by then. One file for each thing that is judged: objectives and their budgets,
anomalies of series and groups, feeds that fall silent, and what the configuration does not measure any more.
"""
