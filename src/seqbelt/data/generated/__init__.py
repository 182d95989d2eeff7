"""Data that is made, not fetched: memory tasks with a known answer, and a demo of all kinds."""
