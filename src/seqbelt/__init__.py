"""Classify sequences with recurrent networks, and see what recurrence buys you."""

__version__ = "0.1.0"
