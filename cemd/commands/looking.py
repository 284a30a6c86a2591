"""How a command looks at the state: settings of the root say where it is; reading needs no lock and disturbs nobody."""

from __future__ import annotations

from pathlib import Path

from cemd.config.load import Loaded, load, load_settings
from cemd.daemon.kinds import kinds
from cemd.daemon.places import Places, places
from cemd.store.base import StateStore
from cemd.store.sqlite import open_state_readers


def loaded_files(root: Path) -> Loaded:
    """The files below `root`.

    Raises:
        ConfigError: they have faults.
    """
    return load(root, kinds())


def found_places(root: Path, state: Path | None) -> Places:
    """Where the state is; `state` wins, so that a root with faulty files can still be looked at.

    Raises:
        ConfigError: the settings have faults and `state` is not given; other files may have any.
    """
    if state is not None:
        from cemd.config.settings import Settings

        return places(root, Settings(), state)
    return places(root, load_settings(root), None)


def state_rows(root: Path, state: Path | None) -> StateStore:
    """state.db for reading.

    Raises:
        StoreError: there is none.
    """
    return open_state_readers(found_places(root, state).state)
