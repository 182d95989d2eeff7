"""MLflow: the only package that imports it. Training works without."""

import os

# Before mlflow is imported: no usage reports, no warning when there is no git.
os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
os.environ.setdefault("GIT_PYTHON_REFRESH", "quiet")
# The bars that MLflow draws for two small files hide what matters.
os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
