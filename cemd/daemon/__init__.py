"""Builds the house once: opens the store, starts the core thread, the edges, the page and the prober, and ends them.

`house` owns the root task group, reload and shutdown; `doors` is what the web may see and ask; `outlet` hands committed
effects to the edges; `prober_process` watches the child; `explain` puts the chain behind a record together. Nothing is
decided here: decisions live in the wings.
"""
