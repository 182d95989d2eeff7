"""Processes that work side by side."""

from seqbelt.workflow.workers import run_in_workers


def test_no_jobs_need_no_workers():
    assert list(run_in_workers(print, [], 2)) == []
