"""Monitor: measures, and takes measurements in; everything it learns becomes a `Batch` in the one order.

`schedule` says when a probe runs, `probes/` knows how each kind measures, `prober` is the process that does it and
`wire` its words to the daemon; `intake/` is the daemon's side: prober, MQTT and HTTP push, acknowledged only when
logged. No other wing, no store and nothing of the page is imported here; no judgement of what a value means either.
"""
