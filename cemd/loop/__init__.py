"""One order, one pure step, and what leaves it.

`step` calls the wings' stages in order; `state` is all that they know; `core` logs, steps and commits synchronously and
is driven alike by the daemon's core thread, by replay and by simulation; `sequencer` is its asynchronous door. No
network and no database of its own: the store comes in as protocols. Nothing telecom-specific either.
"""
