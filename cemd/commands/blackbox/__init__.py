"""`cemd import blackbox`: modules of Prometheus's blackbox_exporter become probes, and what cannot is said.

`carry` reads the files and writes one of ours, `module` is a module on its way over with what several kinds share,
`web` and `wires` know what the keys of each prober are in our words. Nothing is measured here, nothing of cemd runs.
"""

from cemd.commands.blackbox.carry import Imported, import_modules

__all__ = ["Imported", "import_modules"]
