"""Ways to reach people: one file a kind, one table from word to class; the base holds what is common.

A channel sends one message or tells why not (`ChannelError`). It decides nothing, retries nothing, remembers nothing
but its connections, and never logs an address. The core may import `address`, which touches no network library.
"""
