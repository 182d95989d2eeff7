"""A row in is a row out; a request that is none is told what is expected."""

import base64
import json

import mlflow.pyfunc
import numpy as np
import pandas as pd
import pytest
from mlflow.exceptions import MlflowException
from mlflow.pyfunc import scoring_server

from seqbelt.features.arrays.channels import Channels
from seqbelt.features.text.text import Word
from seqbelt.inference.request_rows import ServeLimits
from seqbelt.tracking.pyfunc_model import SequenceModel, _check_requests, _keep_rows, signature


class Child:
    """Answers the first class to all but what is ``bad``."""

    def predict(self, sources):
        return [
            {"error": "unreadable: row 1 holds 'root:x'", "reason": "unreadable"}
            if source in ("bad", b"bad")
            else {"values": [0.75, 0.25]}
            for source in sources
        ]


@pytest.fixture
def model(tmp_path, monkeypatch):
    monkeypatch.delenv("_MLFLOW_IS_IN_SERVING_ENVIRONMENT", raising=False)
    (tmp_path / "bad.csv").write_text("bad")

    def make(features):
        made = SequenceModel()
        made.limits, made.features = ServeLimits(root=tmp_path), features
        made.output = "row"
        made.classes, made.labels_steps, made.child = ("a", "b"), False, Child()
        return made

    return make


@pytest.mark.parametrize(
    "frame",
    [
        pd.DataFrame({"Text": ["a", "b"]}),
        pd.DataFrame({"0": ["a", "b"]}),
        pd.DataFrame(index=[0, 1]),
        pd.DataFrame([[1, 2], [3, 4]]),
        pd.DataFrame({"text": [None, float("nan")]}),
    ],
)
def test_rows_without_a_known_column_each_get_an_error(model, frame, monkeypatch):
    found = model(Word(kind="word")).predict(None, frame)
    assert len(found) == 2 and found["label"].tolist() == [None, None]
    assert all("one of path, text, base64" in error for error in found["error"])
    monkeypatch.setenv("_MLFLOW_IS_IN_SERVING_ENVIRONMENT", "true")
    with pytest.raises(MlflowException, match="path, text, base64") as error:
        model(Word(kind="word")).predict(None, frame)
    assert error.value.get_http_status_code() == 400


@pytest.mark.parametrize(
    "rows", [pd.DataFrame({"Text": ["a", "b"]}), np.array(["a", "b"]), ["a", "b"]]
)
def test_rows_that_mlflow_knows_no_column_of_reach_the_model(model, tmp_path, rows, monkeypatch):
    monkeypatch.setattr(mlflow.pyfunc, "_validate_prediction_input", _as_mlflow_has_it())
    values = {"classes": ["a", "b"], "model": {"pooling": "last"}}
    (tmp_path / "bundle.json").write_text(json.dumps(values))
    inputs = signature(tmp_path).inputs
    before, _ = mlflow.pyfunc._validate_prediction_input(rows, None, inputs, None)
    assert len(before) == 0  # what MLflow does by itself
    _keep_rows()
    given, _ = mlflow.pyfunc._validate_prediction_input(rows, None, inputs, None)
    assert len(model(Word(kind="word")).predict(None, given)) == 2
    given, _ = mlflow.pyfunc._validate_prediction_input(
        pd.DataFrame({"text": ["good", "bad"], "more": [1, 2]}), None, inputs, None
    )
    assert model(Word(kind="word")).predict(None, given)["label"].tolist() == ["a", None]


def _as_mlflow_has_it():
    found = mlflow.pyfunc._validate_prediction_input
    return found.__closure__[0].cell_contents if hasattr(found, "keeps_rows") else found


def test_labels_alone_are_what_evaluate_takes(model):
    made = model(Word(kind="word"))
    made.output = "label"
    found = made.predict(None, pd.DataFrame({"text": ["good", "bad"]}))
    assert found.tolist() == ["a", ""]


def test_each_row_has_its_own_answer_or_error(model, monkeypatch):
    monkeypatch.setenv("_MLFLOW_IS_IN_SERVING_ENVIRONMENT", "true")
    rows = [{"text": "good"}, {"base64": "é"}, {}, {"text": "bad"}, {"path": "bad.csv"},
            {"path": "/etc/passwd"}]  # fmt: skip
    found = model(Word(kind="word")).predict(None, pd.DataFrame(rows))
    assert found["label"].tolist() == ["a", None, None, None, None, None]
    good, odd, empty, bad, file, out = found["error"]
    assert good is None and "not base64" in odd and "one of path" in empty
    assert "root:x" in bad  # who sent a text knows it
    assert file == "unreadable: not usable by this model"  # and of a file nothing is told
    assert "outside the served folder" in out
    json.dumps(found.to_dict("records"), allow_nan=False)


def test_a_text_is_no_path_to_a_model_of_signals(model):
    frame = pd.DataFrame({"text": ["/etc/passwd"], "base64": [None]})
    (error,) = model(Channels(kind="channels")).predict(None, frame)["error"]
    assert "reads files, not texts" in error
    content = base64.b64encode(b"1,2").decode()
    assert model(Channels(kind="channels")).predict(None, pd.DataFrame({"base64": [content]}))[
        "label"
    ].tolist() == ["a"]


def test_a_body_that_is_too_large_is_refused_before_it_is_taken_apart(monkeypatch):
    seen = []
    monkeypatch.setattr(scoring_server, "invocations", lambda data, *rest: seen.append(data))
    for size in (8, 4):  # a model that is loaded anew has its own bound, and only that
        _check_requests(ServeLimits(max_mb=size / (1 << 20)))
    assert scoring_server.invocations(b"12345", "text/csv", None, None).status == 413
    scoring_server.invocations(b"1234", "text/csv", None, None)
    assert seen == [b"1234"]


def test_a_body_that_is_no_request_is_refused_before_mlflow_reads_it(monkeypatch):
    monkeypatch.setattr(scoring_server, "invocations", None)
    _check_requests(ServeLimits())
    deep, number = b"[" * 100_000 + b"]" * 100_000, b"9" * 5000
    for body in (b"", b"{", b"\xff\xfe", deep, b'{"dataframe_records": [{"path": %s}]}' % number):
        answer = scoring_server.invocations(body, "application/json; charset=utf-8", None, None)
        assert answer.status == 400 and "dataframe_records" in json.loads(answer.response)["error"]
    parquet = scoring_server.CONTENT_TYPE_PARQUET
    assert scoring_server.invocations(b"PAR1", parquet, None, None).status == 415


def test_half_a_surrogate_pair_costs_its_own_row_only(model, monkeypatch):
    seen = []
    monkeypatch.setattr(scoring_server, "invocations", lambda data, *rest: seen.append(data))
    _check_requests(ServeLimits())
    rows = [{"text": "half \ud83d"}, {"text": "good \U0001f600"}, {"text": "good"}]
    for key in ("instances", "dataframe_records"):
        body = json.dumps({key: rows}).encode()
        scoring_server.invocations(body, "application/json", None, None)
    assert seen[0] == seen[1]
    given = pd.DataFrame(json.loads(seen[0])["dataframe_records"])
    found = model(Word(kind="word")).predict(None, given)
    assert found["label"].tolist() == [None, "a", "a"]
    assert "half a surrogate pair" in found["error"][0] and found["error"][1] is None


def test_a_key_that_is_there_twice_is_refused(monkeypatch):
    monkeypatch.setattr(scoring_server, "invocations", None)
    _check_requests(ServeLimits())
    body = b'{"dataframe_records": [{"text": "good", "text": "bad"}]}'
    answer = scoring_server.invocations(body, "application/json", None, None)
    assert answer.status == 400 and "the key 'text' appears twice" in answer.response


@pytest.mark.parametrize("rows", [[{"foo": 1}, {"path": "x"}], [{"path": "x"}, {"text": "a"}, {}]])
def test_instances_stay_rows(rows, monkeypatch):
    seen = []
    monkeypatch.setattr(scoring_server, "invocations", lambda data, *rest: seen.append(data))
    _check_requests(ServeLimits())
    given = {"instances": rows, "params": {"a": 1}}
    scoring_server.invocations(json.dumps(given).encode(), "application/json", None, None)
    assert json.loads(seen[0]) == {"dataframe_records": rows, "params": {"a": 1}}
