"""Tracking with MLflow, imported in this package only; training works without it."""

import os

# Before mlflow is imported: no usage reports, no warning when there is no git.
os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
os.environ.setdefault("GIT_PYTHON_REFRESH", "quiet")
# MLflow's bars for small files hide more important messages.
os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
