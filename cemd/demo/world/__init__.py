"""The world: an operator with its customers and its faults, all from a scenario file and a seed. Truth lives here.

`scenario` is the file, `reading` checks it, `catalogue` makes of it what the daemon reads; `events`, `traffic`,
`people`, `lives`, `measuring` and `feeds` are what happens; `world` puts them together, tick by tick, as columns.
Nothing here knows the core: who drives it (`cemd bench day`, the simulation) takes batches and contacts out and
gives notices in.
"""
