"""What kinds of probes share: sockets and their waiting, names, TLS, libcurl, conversations, sessions, clean-up.

Nothing here knows when or for whom something is measured, and nothing is chosen by a word of the files: that is the
kinds', one folder up. Messages as pure functions live in `cemd/monitor/protocols`.
"""
