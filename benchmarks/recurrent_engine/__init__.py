"""The parts of ``benchmarks/recurrent_engine.py``."""
