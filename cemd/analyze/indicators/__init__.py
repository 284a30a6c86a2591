"""Indicators: windows over samples, judged against objectives and budgets."""
