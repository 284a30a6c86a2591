"""The bank: every series judged against its own past."""
