"""Object stores and databases: each object once, however often the store fails."""

import os
import re
import sqlite3
from pathlib import Path

import pyarrow.fs
import pytest

from seqbelt.data.sources import remote
from seqbelt.data.sources.dataset import Data
from seqbelt.errors import SeqbeltError, SettingsError
from seqbelt.features.arrays.channels import Channels
from seqbelt.workflow.inputs import list_items, parse_inputs


class Unreliable:
    """A store in a folder that fails at every other call."""

    def __init__(self, folder):
        self.files = pyarrow.fs.SubTreeFileSystem(str(folder), pyarrow.fs.LocalFileSystem())
        self.calls, self.reads = 0, []

    def _fail(self):
        self.calls += 1
        if self.calls % 2:
            raise OSError("AWS Error SLOW_DOWN: Please reduce your request rate")

    def get_file_info(self, what):
        self._fail()
        return self.files.get_file_info(what)

    def open_input_stream(self, path):
        self._fail()
        self.reads.append(path)
        return self.files.open_input_stream(path)

    def open_output_stream(self, path):
        self._fail()
        return self.files.open_output_stream(path)


@pytest.fixture
def store(tmp_path, monkeypatch):
    """A bucket with two class folders and a manifest of their files."""
    bucket = tmp_path / "store" / "bucket" / "set"
    for name in ("low/a.csv", "low/b.csv", "high/c.csv"):
        (bucket / name).parent.mkdir(parents=True, exist_ok=True)
        (bucket / name).write_text("x\n1\n2\n" + name)
    (bucket / "items.csv").write_text(
        "path,label\nlow/a.csv,low\nhigh/c.csv,high\ns3://bucket/set/low/b.csv,low\nlow/lost.csv,low\n"
    )
    found = Unreliable(tmp_path / "store")
    monkeypatch.setattr(remote, "_open", lambda scheme: found)
    monkeypatch.setattr(remote, "FIRST_WAIT_S", 0.001)
    monkeypatch.setattr(remote, "NUM_READERS", 1)
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    return found


def test_a_folder_is_fetched_once_and_again_where_it_changed(store, tmp_path):
    (tmp_path / "store/bucket/set/items.csv").unlink()
    data = Data(source="s3://bucket/set/")
    first = data.list_items(Channels(kind="channels"))
    assert sorted(first.column("label")) == ["high", "low", "low"]
    assert len(store.reads) == 3
    assert all(path.is_file() for path in first.sources())
    data.list_items()
    assert len(store.reads) == 3
    (tmp_path / "store/bucket/set/low/b.csv").unlink()
    assert len(data.list_items()) == 2
    changed = tmp_path / "store/bucket/set/low/a.csv"
    changed.write_text("x\n3\n4\nlow/a.csv")
    os.utime(changed, ns=(7, 7))
    data.list_items()
    assert store.reads[3:] == ["bucket/set/low/a.csv"]


def test_a_manifest_fetches_what_it_names_and_loses_only_what_is_lost(store):
    found = Data(source="s3://bucket/set/items.csv").list_items(Channels(kind="channels"))
    assert [path.is_file() for path in found.sources()] == [True, True, True, False]
    inputs = list_items(parse_inputs(["s3://bucket/set/items.csv"])[0], Channels(kind="channels"))
    assert [item.source.is_file() for item in inputs.items] == [True, True, True, False]
    assert len(store.reads) == 4


def test_an_interrupted_fetch_goes_on(store, monkeypatch):
    whole = store.open_input_stream

    def stop(path):
        if len(store.reads) == 2:
            raise KeyboardInterrupt
        return whole(path)

    monkeypatch.setattr(store, "open_input_stream", stop)
    with pytest.raises(KeyboardInterrupt):
        remote.fetch("s3://bucket/set")
    monkeypatch.setattr(store, "open_input_stream", whole)
    folder = remote.fetch("s3://bucket/set")
    assert len(store.reads) == len(set(store.reads)) == 4
    assert len([path for path in folder.rglob("*") if path.is_file()]) == 4


@pytest.mark.parametrize(
    ("address", "said"),
    [("s3://abc:xyzzy@bucket/set", "would be logged"), ("s3://bucket/none", "no such object"),
     ("s3://bucket/../x", "not the address")],
)  # fmt: skip
def test_what_cannot_be_fetched_is_refused_without_secrets(store, address, said):
    with pytest.raises(SettingsError, match=said) as refused:
        Data(source=address).list_items()
    assert "xyzzy" not in str(refused.value)


def test_an_output_is_written_beside_the_mirror_and_uploaded_whole(store, tmp_path):
    path = remote.output_path("s3://bucket/found/a.csv")
    assert path.parts[:3] == ("data", "remote", "written")  # else the next fetch would remove it
    path.parent.mkdir(parents=True)
    path.write_bytes(b"path,label\n" * 100_000)
    (tmp_path / "store/bucket/found").mkdir()
    remote.upload(path, "s3://bucket/found/a.csv")
    assert (tmp_path / "store/bucket/found/a.csv").read_bytes() == path.read_bytes()
    assert remote.output_path("out/a.csv") == Path("out/a.csv")


@pytest.mark.parametrize(
    ("address", "said"),
    [
        ("s3://bucket", "expected s3://BUCKET/KEY of a bucket that exists"),
        ("s3://nowhere/a.csv", "expected s3://BUCKET/KEY of a bucket that exists"),
        ("https://host/a.csv", "--output https://host/a.csv: expected a file, or s3://, gs://"),
        ("sqlite:///a.db?table=t", "a database is only read"),
    ],
)
def test_where_nothing_can_be_written_is_said_before_the_work(store, address, said):
    with pytest.raises(SettingsError, match=re.escape(said)):
        remote.output_path(address)


def test_an_upload_that_is_cut_short_is_no_success(store, tmp_path, monkeypatch):
    (tmp_path / "here.csv").write_bytes(b"x" * 1000)
    monkeypatch.setattr(remote.shutil, "copyfileobj", lambda source, target, _: target.write(b"x"))
    with pytest.raises(SeqbeltError, match="1 of 1,000 bytes were written"):
        remote.upload(tmp_path / "here.csv", "s3://bucket/set/here.csv")


def test_a_store_that_is_down_names_where_credentials_come_from(store, monkeypatch):
    def fail(what):
        raise OSError("AWS Error INTERNAL_FAILURE")

    monkeypatch.setattr(store, "get_file_info", fail)
    with pytest.raises(SettingsError, match="INTERNAL_FAILURE; credentials are read from"):
        remote.fetch("s3://bucket/set")


def test_an_s3_server_is_read(tmp_path, monkeypatch):
    server = pytest.importorskip("moto.server", reason="moto[server] is not installed")
    boto3 = pytest.importorskip("boto3")
    threaded = server.ThreadedMotoServer(port=0)
    threaded.start()
    remote._open.cache_clear()
    try:
        host, port = threaded.get_host_and_port()
        for name, value in {
            "AWS_ACCESS_KEY_ID": "tested", "AWS_SECRET_ACCESS_KEY": "tested",
            "AWS_REGION": "us-east-1", "AWS_ENDPOINT_URL": f"http://{host}:{port}",
        }.items():  # fmt: skip
            monkeypatch.setenv(name, value)
        client = boto3.client("s3")
        client.create_bucket(Bucket="pets")
        for number in range(60):
            key = f"set/{('dog', 'cat')[number % 2]}/{number}.csv"
            client.put_object(Bucket="pets", Key=key, Body=b"x\n1\n%d\n" % number)
        monkeypatch.chdir(tmp_path)
        found = Data(source="s3://pets/set").list_items(Channels(kind="channels"))
        assert len(found) == 60
        assert {path.read_text().split()[-1] for path in found.sources()} == {*map(str, range(60))}
    finally:
        remote._open.cache_clear()
        threaded.stop()


@pytest.fixture
def database(tmp_path, monkeypatch):
    """A table of visits whose files are in the working directory."""
    monkeypatch.chdir(tmp_path)
    with sqlite3.connect("clinic.db") as connection:
        connection.execute("CREATE TABLE visits (number INTEGER PRIMARY KEY, path, label, age)")
        rows = [(3, "b.csv", "ill", None), (1, "a.csv", "well", 40.5), (2, "a b.csv", "ill", 7)]
        connection.executemany("INSERT INTO visits VALUES (?, ?, ?, ?)", rows)
        connection.execute("CREATE TABLE pictures (label, path BLOB)")
        connection.execute("INSERT INTO pictures VALUES ('x', x'0102')")
    for name in ("a.csv", "b.csv", "a b.csv"):
        (tmp_path / name).write_text("x\n1\n2\n")
    return "sqlite:///clinic.db"


def test_a_table_of_a_database_is_a_manifest(database):
    source = f"{database}?table=visits"
    found = Data(source=source).list_items(Channels(kind="channels"))
    assert found.column("label").tolist() == ["well", "ill", "ill"]
    assert [path.name for path in found.sources()] == ["a.csv", "a b.csv", "b.csv"]
    assert all(path.is_file() for path in found.sources())
    inputs = list_items(parse_inputs([source])[0], Channels(kind="channels"), keep_columns=True)
    assert [item.kept[-1] for item in inputs.items] == ["40.5", "7", ""]


@pytest.mark.parametrize(
    ("ending", "said"),
    [("", "name one table: .* it has pictures"), ("?table=visit", "no table 'visit'; it has"),
     ("?table=pictures", "column 'path' holds bytes")],
)  # fmt: skip
def test_a_table_that_cannot_be_a_manifest_is_refused(database, ending, said):
    with pytest.raises(SettingsError, match=said):
        Data(source=database + ending).list_items()


def test_a_missing_database_is_not_made_and_passwords_are_not_shown(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SettingsError, match="no such file"):
        Data(source="sqlite:///none.db?table=x").list_items()
    assert not (tmp_path / "none.db").exists()
    with pytest.raises(SettingsError, match="would be logged") as refused:
        Data(source="postgresql://me:xyzzy@host/db?table=x").list_items()
    assert "xyzzy" not in str(refused.value)
