"""What a person sees on MLflow's page after a comparison, in a real browser."""

import json
import os
import re
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request

import pytest
from browser import needs_browser, open_browser

from seqbelt.data.generated.demo_data import DemoData

CONFIG = """
name: words
data: {source: words, validation_fraction: 0.1}
features: {kind: log_mel, sample_rate: 8000, num_bands: 16}
model: {hidden_size: 6}
training: {num_epochs: 1, batch_size: 16, learning_rate: 3e-3, device: cpu}
comparison: {cells: [lstm, rnn], seeds: [0, 1], controls: false}
"""
WAIT_S = 300

pytestmark = needs_browser


@pytest.fixture(scope="module")
def compared(tmp_path_factory):
    """A finished comparison: its JSON, in a folder of its own."""
    folder = tmp_path_factory.mktemp("project")
    DemoData(kind="audio", num_per_class=8).write(folder / "words")
    (folder / "words.yaml").write_text(CONFIG)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        done = subprocess.run(
            [sys.executable, "-m", "seqbelt", "compare", "words.yaml", "--json"],
            capture_output=True, text=True, check=True,
        )  # fmt: skip
        yield json.loads(done.stdout.splitlines()[-1])


@pytest.fixture(scope="module")
def server(compared):
    """The address of ``seqbelt ui``."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    address = f"http://127.0.0.1:{port}"
    command = [sys.executable, "-m", "seqbelt", "ui", "--port", str(port)]
    process = subprocess.Popen(
        command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
    )
    deadline = time.monotonic() + WAIT_S
    try:
        while not _answers(address):
            assert process.poll() is None and time.monotonic() < deadline
            time.sleep(0.5)
        yield address
    finally:
        os.killpg(process.pid, 15)  # the group: the page is served by a child
        process.wait()


def _answers(address):
    try:
        return urllib.request.urlopen(f"{address}/health", timeout=5).status == 200
    except (urllib.error.URLError, TimeoutError, ConnectionError):
        return False


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    driver = open_browser(tmp_path_factory.mktemp("profile"), 1400, 1000)
    yield driver
    driver.quit()


def wait_for(browser, *texts):
    """Wait until the page shows all of these texts; fails with what it shows instead."""
    deadline = time.monotonic() + WAIT_S
    while time.monotonic() < deadline:
        shown = browser.execute_script("return document.body.innerText").replace("\xa0", " ")
        flat = " ".join(shown.split())  # the sentences of a verdict are paragraphs
        if all(text in flat for text in texts):
            return shown
        time.sleep(0.3)
    raise AssertionError(f"{texts} not all in: {shown}")


def test_the_list_of_runs_begins_with_the_verdict(compared, server, browser):
    from seqbelt.tracking.connection import connect
    from seqbelt.tracking.page_view import page_of

    summary = connect().get_run(compared["parent_run_id"])
    experiment = connect().get_experiment(summary.info.experiment_id)
    browser.get(server + page_of(experiment, "TABLE"))
    shown = wait_for(browser, summary.info.run_name, "lstm-h6-s0", "rnn-h6-s1", "test/accuracy")
    assert shown.index(summary.info.run_name) < shown.index("lstm-h6-s0")
    assert compared["verdict"].split(":")[0] in shown  # the experiment's note, unopened


def test_the_charts_show_all_siblings_without_a_click_and_the_test_first(compared, server, browser):
    from seqbelt.tracking.connection import connect
    from seqbelt.tracking.page_view import page_of

    client = connect()
    runs = [run for cell in ("lstm", "rnn") for run in compared["cells"][cell]["runs"]]
    experiment = client.get_experiment(client.get_run(runs[0]).info.experiment_id)
    browser.get(server + page_of(experiment))
    names = [client.get_run(run).info.run_name for run in runs]
    shown = wait_for(browser, "val_best", *names)
    first = re.search(r"(\w+)\n\(\d+\)", shown)
    assert first and first[1] == "test"


def test_the_summary_run_shows_verdict_table_and_report(compared, server, browser):
    from seqbelt.tracking.connection import connect

    summary = connect().get_run(compared["parent_run_id"])
    run = f"{server}/#/experiments/{summary.info.experiment_id}/runs/{summary.info.run_id}"
    browser.get(run)
    wait_for(browser, compared["verdict"], "test accuracy", "macro-F1", compared["protocol"])
    browser.get(f"{run}/artifacts")
    wait_for(browser, "report.html", "pictures")


def test_the_report_stands_alone_with_its_pictures_on_a_phone(compared, browser, tmp_path):
    import mlflow.artifacts

    from seqbelt.tracking.connection import connect

    connect()
    report = mlflow.artifacts.download_artifacts(
        run_id=compared["parent_run_id"], artifact_path="report.html", dst_path=str(tmp_path)
    )
    browser.set_window_size(500, 900)
    browser.get(f"file://{report}")
    wait_for(browser, compared["verdict"], "LSTM", "RNN", "updates clipped")
    sizes = browser.execute_script(
        "return [...document.images].map(i => [i.complete, i.naturalWidth, i.width])"
    )
    assert len(sizes) == 3
    # Figures keep a legible size and scroll within the page.
    assert all(done and natural > 500 and 500 <= shown <= 600 for done, natural, shown in sizes)
    overflow = "return document.documentElement.scrollWidth - document.documentElement.clientWidth"
    assert browser.execute_script(overflow) == 0
    printed = browser.execute_cdp_cmd("Page.printToPDF", {"printBackground": True})
    assert len(printed["data"]) > 50_000
