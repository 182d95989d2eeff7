"""The project's own store: made whole or not at all, found wherever the project lies."""

import errno
import logging
import os
import shutil
import signal
import sqlite3
from pathlib import Path

import pytest
from mlflow.exceptions import MlflowException, RestException

from seqbelt.errors import SeqbeltError
from seqbelt.tracking import address, connection, run_locks
from seqbelt.tracking.address import is_own_store, tracking_uri
from seqbelt.tracking.connection import connect, experiment_id, is_unavailable
from seqbelt.tracking.publish import resolve
from seqbelt.tracking.run import TrackedRun, close_open_runs


@pytest.fixture(scope="module")
def template(tmp_path_factory):
    """A new database, made where a process was killed while it made one."""
    folder = tmp_path_factory.mktemp("template")
    before = Path.cwd()
    os.chdir(folder)
    environment = os.environ.pop("MLFLOW_TRACKING_URI", None)
    try:
        Path("mlruns").mkdir()
        with sqlite3.connect("mlruns/mlflow.db") as half:
            half.execute("CREATE TABLE experiments (experiment_id INTEGER, name TEXT)")
            half.execute("CREATE TABLE datasets (dataset_uuid TEXT)")
            half.execute("CREATE TABLE alembic_version (version_num TEXT)")
        half.close()
        Path("mlruns/mlflow.db.new").write_bytes(b"half a file")
        connect()
        assert not Path("mlruns/mlflow.db.new").exists()
    finally:
        os.chdir(before)
        os.environ.pop("MLFLOW_TRACKING_URI", None)  # mlflow writes its own choice there
        if environment is not None:
            os.environ["MLFLOW_TRACKING_URI"] = environment
    return folder / "mlruns" / "mlflow.db"


@pytest.fixture
def project(template, tmp_path, monkeypatch):
    """``project(name)`` makes a project with a store, and goes there."""

    def make(name):
        monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
        folder = tmp_path / name
        (folder / "mlruns").mkdir(parents=True)
        shutil.copy(template, folder / "mlruns")
        monkeypatch.chdir(folder)
        return folder

    return make


def go(monkeypatch, folder):
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.chdir(folder)


def test_a_half_made_database_gives_way_to_a_whole_one(template):
    with sqlite3.connect(template) as made:
        (count,) = made.execute("SELECT count(*) FROM experiments").fetchone()
    made.close()
    assert count == 1


def test_a_moved_project_names_its_artifacts_where_they_are(project, monkeypatch, caplog):
    old = project("before")
    client = connect()
    number = experiment_id(client, "한글 a")
    run = client.create_run(number)
    client.create_experiment("elsewhere", artifact_location="s3://bucket/mlruns/artifacts/x")
    client.create_experiment("mine", artifact_location=f"file://{old}/other/place")
    new = old.with_name("after%20?")
    old.rename(new)
    go(monkeypatch, new)
    with caplog.at_level(logging.WARNING):
        client = connect()
    assert f"{new}/mlruns: was moved from {old}/mlruns; 3" in caplog.text
    caplog.clear()
    client = connect()
    assert "before" not in caplog.text  # once is enough
    home = (new / "mlruns").as_uri()
    assert client.get_run(run.info.run_id).info.artifact_uri.startswith(f"{home}/artifacts/")
    assert client.get_experiment(number).artifact_location.startswith(f"{home}/artifacts/")
    kept = {one.name: one.artifact_location for one in client.search_experiments()}
    assert kept["elsewhere"] == "s3://bucket/mlruns/artifacts/x"
    assert kept["mine"] == f"file://{old}/other/place"
    client.log_text(run.info.run_id, "here", "a.txt")
    assert next((new / "mlruns").rglob("a.txt")).read_text() == "here"
    assert not old.exists()


def test_a_copy_leaves_the_original_alone(project, monkeypatch):
    original = project("original")
    experiment_id(connect(), "a")
    shutil.copytree(original, original.with_name("copy"))
    before = (original / "mlruns/mlflow.db").read_bytes()
    go(monkeypatch, original.with_name("copy"))
    found = connect().get_experiment_by_name("a").artifact_location
    assert found == (Path.cwd() / "mlruns/artifacts/a").as_uri()
    assert (original / "mlruns/mlflow.db").read_bytes() == before


@pytest.mark.parametrize("name", ["what now?", "50%25", "100%", "한글 #1+2", "a&b=c;d"])
def test_any_folder_name_holds_a_store_and_nothing_is_written_beside(project, name):
    folder = project(name)
    client = connect()
    run = client.create_run(experiment_id(client, "a"))
    client.log_text(run.info.run_id, "x", "b.txt")
    assert is_own_store()
    assert [path.name for path in folder.parent.iterdir()] == [name]
    assert {path.name for path in folder.iterdir()} == {"mlruns"}
    assert list((folder / "mlruns/artifacts/a").rglob("b.txt"))


def test_a_reader_makes_no_registry_and_names_the_place(tmp_path, monkeypatch):
    go(monkeypatch, tmp_path)
    with pytest.raises(SeqbeltError, match=f"{tmp_path}/mlruns/mlflow.db does not exist"):
        resolve("models:/a@champion")
    assert not list(tmp_path.iterdir())


def test_the_registry_of_a_named_project_is_read_from_anywhere(project, tmp_path, monkeypatch):
    there = project("there")
    connect().create_registered_model("pets")
    go(monkeypatch, tmp_path)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "sqlite:///elsewhere.db")
    monkeypatch.setattr(address, "_project", None)
    with pytest.raises(
        SeqbeltError, match=r"--project .*elsewhere: no registry, .*mlflow\.db does"
    ):
        address.use_project(tmp_path / "elsewhere")
    address.use_project(Path("there"))
    with pytest.raises(SeqbeltError, match=rf"no such model .*{there}/mlruns.*models:/pets"):
        resolve("models:/pats@champion")
    assert [path.name for path in tmp_path.iterdir()] == ["there"]


def test_a_missing_model_is_told_with_those_that_are_there(project):
    project("here")
    connect().create_registered_model("pets")
    for uri in ("models:/pats@champion", "models:/pats/1", "models:/pets/7"):
        with pytest.raises(SeqbeltError, match=r"no such model .*mlflow\.db.*models:/pets"):
            resolve(uri)


def test_a_store_that_cannot_be_written_is_read_from_a_copy(project, monkeypatch):
    old = project("before")
    experiment_id(connect(), "a")
    new = old.with_name("after")
    old.rename(new)
    go(monkeypatch, new)
    monkeypatch.setattr(connection, "_is_writable", lambda database: new not in database.parents)
    before = {path: path.stat().st_mtime_ns for path in new.rglob("*")}
    found = connect(make=False).get_experiment_by_name("a").artifact_location
    assert found == (new / "mlruns/artifacts/a").as_uri()
    assert {path: path.stat().st_mtime_ns for path in new.rglob("*")} == before


@pytest.mark.parametrize("content", [b"no database", b"SQLite format 3\0" + b"x" * 200])
def test_a_file_that_is_no_database_is_an_error_at_once(project, content):
    (project("odd") / "mlruns/mlflow.db").write_bytes(content)
    with pytest.raises(SeqbeltError, match=r"mlflow\.db: cannot be opened"):
        connect()


def test_another_programs_database_is_left_alone(project):
    path = project("odd") / "mlruns/mlflow.db"
    path.unlink()
    with sqlite3.connect(path) as other:
        other.execute("CREATE TABLE songs (name TEXT)")
    other.close()
    with pytest.raises(SeqbeltError, match="of another program"):
        connect()


def test_a_proxy_that_answers_for_a_server_means_that_it_is_away():
    by_proxy = MlflowException(
        "API request to endpoint /x failed with error code 404 != 200. Response body: '<html>'",
        error_code=1005,
    )
    missing = RestException({"error_code": "RESOURCE_DOES_NOT_EXIST", "message": "no such run"})
    assert is_unavailable(by_proxy) or by_proxy.get_http_status_code() != 404
    assert not is_unavailable(missing)


def test_a_server_that_is_away_is_no_missing_model(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    with pytest.raises(SeqbeltError, match=r"127\.0\.0\.1:9 cannot be reached") as error:
        resolve("models:/a@champion")
    assert "no such model" not in str(error.value)


def test_runs_of_a_process_that_is_gone_are_closed_and_no_others(project):
    project("here")
    client = connect()
    number = experiment_id(client, "a")
    gone, alive, ours = (client.create_run(number).info.run_id for _ in range(3))
    children = [_hold_in_a_child(run_id) for run_id in (gone, alive)]
    assert run_locks.hold(ours)
    (run_locks._folder() / "ended").symlink_to("nowhere")  # as of a run that ends meanwhile
    try:
        assert not run_locks.close_abandoned(client)
        os.kill(children[0], signal.SIGKILL)
        os.waitpid(children[0], 0)
        assert run_locks.close_abandoned(client) == [gone]
        assert not run_locks.hold(alive)  # nobody goes on with what another process is at
    finally:
        os.kill(children[1], signal.SIGKILL)
        os.waitpid(children[1], 0)
        run_locks.release(ours)
    status = [client.get_run(run_id).info.status for run_id in (gone, alive, ours)]
    assert status == ["KILLED", "RUNNING", "RUNNING"]


def _hold_in_a_child(run_id):
    ready, said = os.pipe()
    child = os.fork()
    if not child:
        os.write(said, b"1" if run_locks.hold(run_id) else b"0")
        signal.pause()
    assert os.read(ready, 1) == b"1"
    return child


def test_runs_that_are_open_are_closed_when_the_work_ends_early(project):
    project("here")
    first = TrackedRun.start("a", "one", {})
    second = TrackedRun.start("a", "two", {})
    second.finish()
    close_open_runs("KILLED")
    client = connect()
    found = [client.get_run(run.run_id).info.status for run in (first, second)]
    assert found == ["KILLED", "FINISHED"]
    assert not [path for path in Path("mlruns/running").iterdir() if path.name != "all.lock"]


def test_a_run_whose_end_a_full_disk_does_not_store_is_closed_by_the_next(
    project, monkeypatch, caplog
):
    project("here")
    run = TrackedRun.start("a", "one", {})

    def full(*_, **__):
        raise OSError(errno.ENOSPC, "No space left on device", "mlruns/outbox")

    monkeypatch.setattr(run.outbox, "status", full)
    close_open_runs("FAILED")
    assert (
        f"run {run.run_id}: its end cannot be stored (mlruns/outbox: the disk is full"
        in caplog.text
    )
    run_locks._held.pop(run.run_id).release()  # as when its process ends
    other = TrackedRun.start("a", "two", {})
    assert connect().get_run(run.run_id).info.status == "KILLED"
    other.finish()


def test_a_run_whose_lock_a_full_disk_left_empty_is_closed_by_the_next(project):
    project("here")
    client = connect()
    run_id = client.create_run(experiment_id(client, "a")).info.run_id
    folder = Path("mlruns/running")
    folder.mkdir()
    (folder / run_id).touch()
    (folder / ("0" * 32)).touch()  # of another store
    assert run_locks.close_abandoned(client) == [run_id]
    assert client.get_run(run_id).info.status == "KILLED"
    assert (folder / ("0" * 32)).exists() and not (folder / run_id).exists()


def test_a_run_that_cannot_be_locked_is_closed(project, monkeypatch):
    project("here")

    def full(run_id):
        raise OSError(errno.ENOSPC, "No space left on device", f"mlruns/running/{run_id}")

    monkeypatch.setattr(run_locks, "hold", full)
    with pytest.raises(OSError, match="No space"):
        TrackedRun.start("a", "one", {})
    close_open_runs("FAILED")
    client = connect()
    runs = client.search_runs([experiment_id(client, "a")])
    assert [run.info.status for run in runs] == ["FAILED"]


def test_a_deleted_run_is_not_resumed(project):
    project("here")
    run = TrackedRun.start("a", "one", {})
    run.finish()
    assert TrackedRun.resume("0" * 32) is None
    client = connect()
    resumed = TrackedRun.resume(run.run_id)
    assert resumed is not None and client.get_run(run.run_id).info.status == "RUNNING"
    client.delete_run(run.run_id)
    with pytest.raises(SeqbeltError, match=f"{run.run_id} was deleted"):
        resumed.log_metrics({"a": 1.0})
    close_open_runs("FAILED")
    assert TrackedRun.resume(run.run_id) is None


def test_the_uri_of_a_moved_project_is_its_own(project, monkeypatch):
    project("here")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "sqlite:///mlruns/mlflow.db")
    assert is_own_store() and tracking_uri() == "sqlite:///mlruns/mlflow.db"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "sqlite:///other/mlflow.db")
    assert not is_own_store()
