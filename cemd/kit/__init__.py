"""What the edges share and what knows nothing of telecom: clock, logs, word to systemd, retries, guarded tasks.

`clock` hands out time, `logs` sets structlog up and redacts, `sdnotify` speaks to the service manager, `retry` waits
longer and longer with jitter, `tasks` keeps a task's fault in its own room, `files` replaces small files durably.
No configuration, no database and no noun
of the product ever live here; nothing holds state at module level.
"""
