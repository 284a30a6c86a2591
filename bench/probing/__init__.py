"""Probing: the prober's whole path beside its peers; one file a family of cases, `harness.py` is what they share."""
