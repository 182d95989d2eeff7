"""Fixtures of the tests that keep runs."""

import pytest


@pytest.fixture(scope="session", autouse=True)
def tracking(migrated_once) -> None:
    """No test here waits for MLflow's migrations but the first."""
