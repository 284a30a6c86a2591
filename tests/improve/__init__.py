"""Improve, seen through its door and its pure files: small operators, findings made by hand, time as an argument."""
