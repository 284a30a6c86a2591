"""Simulation: the whole core and the edges' logic, driven synchronously from a seed, with faults, under promises.

`plan` names what befalls a life, `world` (a bare operator) and `lives` (a whole scenario) are what it is lived in,
`arrivals`, `fakes` and `edges` stand for what is outside, `run` drives and kills, `witness` and `promises` watch,
`shrink` makes a failing life small. One seed is one life, equal on every run. No wing and not the loop may know that
it exists; no asyncio, no thread, no real time in here, and no file but the scenario that it begins with.
"""
