"""The long run: very many mixed probes on peers that count, and whether cemd's records say exactly the same.

`bench/long_run.py` is its command. Nothing here is a test; `tests/scenario/test_long_run.py` is."""
