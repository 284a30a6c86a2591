"""Simulation: the whole core and the edges' logic, driven synchronously from a seed, with faults, under promises.

`world` is a small operator with its truth, `fakes` and `edges` stand for what is outside, `run` drives and kills,
`promises` watches. One seed is one life, equal on every run. No wing and not the loop may know that it exists; no
asyncio, no thread, no real time and no file in here.
"""
