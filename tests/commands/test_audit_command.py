"""``data make`` and ``data audit`` as commands, and what ``compare`` keeps of an audit."""

import json

import pytest

from seqbelt.cli import main
from seqbelt.data.sources.known_sets import KNOWN_SETS, KnownSet

TASK = """
name: order
data: {source: temporal_order, make: {lag: 10, num_train: 40, num_validation: 8, num_test: 12}}
features: {kind: channels}
model: {hidden_size: 6}
training: {num_epochs: 1, device: cpu}
comparison: {cells: [lstm, rnn], seeds: [0]}
"""
TEXTS = """
name: texts
data: {source: texts.csv, validation_fraction: 0}
features: {kind: character, min_count: 1}
model: {hidden_size: 6, embedding_size: 4}
training: {num_epochs: 1, device: cpu, num_networks: 1}
comparison: {cells: [lstm, rnn], seeds: [0], controls: false}
"""


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    """A generated task; texts of which one test row is a training row and one nearly is."""
    folder = tmp_path_factory.mktemp("project")
    (folder / "order.yaml").write_text(TASK)
    (folder / "texts.yaml").write_text(TEXTS)
    alphabet = "abcdefghijklmnopqrstuvwxyz"
    rows = [
        (f"r{row}", " ".join([alphabet[row:], alphabet[:row], str(row)] * 2), row % 2, part)
        for row, part in enumerate(["train"] * 12 + ["test"] * 4)
    ]
    rows[12] = ("same", rows[0][1], 0, "test")
    rows[13] = ("near", rows[1][1].upper(), 1, "test")
    lines = ["id,text,label,split", *(",".join(map(str, row)) for row in rows)]
    (folder / "texts.csv").write_text("\n".join(lines))
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        yield folder


def run(capsys, *arguments):
    """Exit code, standard output, standard error."""
    with pytest.raises(SystemExit) as stop:
        main([*arguments])
    return stop.value.code, *capsys.readouterr()


def result(out):
    return json.loads(out.strip().splitlines()[-1])


def test_make_writes_where_the_name_finds_it(project, capsys):
    options = ["--lag", "10", "--num-train", "40", "--num-validation", "8", "--num-test", "12"]
    code, out, _ = run(capsys, "data", "make", "temporal_order", *options, "--json")
    assert code == 0
    assert result(out)["num_sequences"] == 60
    folder = project / result(out)["source"]
    made = {path: path.stat().st_mtime_ns for path in folder.rglob("*")}
    assert run(capsys, "prepare", "order.yaml")[0] == 0
    assert {path: path.stat().st_mtime_ns for path in folder.rglob("*")} == made


def test_make_takes_a_folder_a_seed_and_the_task_s_own_options(project, capsys):
    options = ["num_symbols=3", "--num-train", "5", "--seed", "4", "--folder", "here"]
    code, out, _ = run(capsys, "data", "make", "copy", *options, "--json")
    assert code == 0
    about = json.loads((project / "here" / "about.json").read_text())
    assert about == result(out)["options"]
    assert (about["num_symbols"], about["num_train"], about["seed"]) == (3, 5, 4)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [(["nothing"], "temporal_order"), (["copy", "lga=3"], "'lag'"), (["fsdd"], "seqbelt data get")],
)
def test_make_refuses_what_it_does_not_know(project, capsys, arguments, message):
    code, _, err = run(capsys, "data", "make", *arguments)
    assert code == 2
    assert message in err


def test_list_names_the_generated_sets_too(capsys):
    _, out, _ = run(capsys, "data", "list", "--json")
    assert {"temporal_order", "temporal_order_b", "copy", "fsdd", "nsmc"} <= set(result(out))


def test_audit_shows_findings_and_is_no_failure(project, capsys):
    code, out, _ = run(capsys, "data", "audit", "texts.yaml", "--json")
    assert code == 0
    found = result(out)
    assert found["headline"].startswith("1 leak, ")
    assert found["findings"]["duplicates"]["examples"] == ["test same = train r0"]
    assert found["findings"]["near-duplicates"]["examples"] == ["test near = train r1"]
    code, out, _ = run(capsys, "data", "audit", "texts.yaml")
    assert code == 0
    assert "leak" in out and "test same = train r0" in out and "headline: 1 leak, " in out


def test_compare_audits_first_and_keeps_the_findings(project, capsys):
    from seqbelt.tracking.connection import connect

    code, out, err = run(capsys, "compare", "texts.yaml", "--json")
    assert code == 0, err
    lines = err.splitlines()
    (place,) = [n for n, line in enumerate(lines) if line.startswith("audit, leak: duplicates: 1 ")]
    assert place < min(n for n, line in enumerate(lines) if "weights kept" in line)
    client, run_id = connect(), result(out)["parent_run_id"]
    assert client.get_run(run_id).data.tags["audit.findings"].startswith("1 leak, ")
    assert "audit.md" in {item.path for item in client.list_artifacts(run_id)}
    found = result(out)
    leak = "1 of 4 test rows (25.00 %) have the same content as a train row"
    assert f"Leak, so the test scores are too high: {leak}." in found["verdict"]
    assert [verdict["leaks"] for verdict in found["verdicts"]] == [[leak]]
    name, _, version = found["model_uri"].removeprefix("models:/").partition("/")
    assert leak in client.get_model_version(name, version).description


def test_train_names_the_leaks_that_need_no_search(project, capsys):
    from seqbelt.tracking.connection import connect

    code, out, err = run(capsys, "train", "texts.yaml", "--json")
    found = result(out)
    leak = "1 of 4 test rows (25.00 %) have the same content as a train row"
    assert code == 0 and found["leaks"] == [leak]
    sentence = f"Leak, so the test scores are too high: {leak}."
    assert sentence in err
    name, _, version = found["model_uri"].removeprefix("models:/").partition("/")
    assert connect().get_model_version(name, version).description.startswith(sentence)


@pytest.mark.slow
def test_a_forced_split_is_stamped_on_the_runs(project, capsys, monkeypatch):
    from seqbelt.data.sources import catalogue
    from seqbelt.tracking.connection import connect

    known = KnownSet("toy", "", "", (), lambda folder: folder, protocol="as the file says")
    monkeypatch.setitem(KNOWN_SETS, "toy", known)
    monkeypatch.setattr(catalogue, "find_known_set", lambda name: project / "texts.csv")
    settings = ["data.source=toy", "data.test_fraction=0.25"]
    code, _, err = run(capsys, "train", "texts.yaml", *settings)
    assert code == 2
    assert "as the file says" in err
    code, out, _ = run(capsys, "train", "texts.yaml", *settings, "data.force_split=true", "--json")
    assert code == 0
    assert connect().get_run(result(out)["run_id"]).data.tags["data.split"] == "forced"
    code, out, _ = run(capsys, "train", "texts.yaml", "data.source=toy", "--json")
    assert "data.split" not in connect().get_run(result(out)["run_id"]).data.tags
