"""A test file for each kind of probe; its `contract` lends peers to the tests that every kind must pass."""
