"""The web: page, JSON API, event stream, /metrics, /healthz and /readyz, over aiohttp.

It sees views (`cemd.model.view`) and sends commands (`cemd.model.entry.Command`) through the doors of `house.House`.
It never imports a wing, the loop or the store, keeps no state that matters, and decides nothing.
"""
