"""Scenarios: the ordinary daemon against DemoTelco on loopback, in real time. Slow; each reads as a time line."""
