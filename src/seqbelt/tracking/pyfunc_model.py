"""The MLflow model: logged as this code, with a bundle as its artifact."""

import base64
import io
import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import mlflow.models
import mlflow.pyfunc
import numpy as np
import pandas as pd
from mlflow.environment_variables import _MLFLOW_IS_IN_SERVING_ENVIRONMENT as _IS_SERVED
from mlflow.exceptions import MlflowException
from mlflow.models import ModelSignature
from mlflow.protos.databricks_pb2 import INVALID_PARAMETER_VALUE
from mlflow.pyfunc import scoring_server
from mlflow.pyfunc.model import PythonModel, PythonModelContext
from mlflow.types import ColSpec, DataType, Schema, TensorSpec

from seqbelt.data.sources.raw_tables import distinct_keys
from seqbelt.errors import UNREADABLE, BadInput
from seqbelt.features.base import JoinedSource, Source, read_bytes
from seqbelt.features.input_layout import InputLayout
from seqbelt.features.joined_inputs import SeveralInputs
from seqbelt.inference.bundle import Bundle
from seqbelt.inference.decision import ONE_CLASS
from seqbelt.inference.request_rows import (
    COLUMNS,
    Content,
    ServeLimits,
    read_joined_row,
    read_row,
)
from seqbelt.inference.segment_output import unpack_segments
from seqbelt.inference.serving import ModelProcess

BROKEN = "\ufdd0"
"""Stands for a broken text between the request and the model; nobody's text is this alone."""
_SURROGATE = re.compile(rb"\\u[dD][89a-fA-F]")
OUTPUTS = ("row", "label")
"""Values of ``output`` in a loaded model's ``model_config``: all columns, or the label alone."""


def signature(bundle: Path) -> ModelSignature:
    """Inputs: one of the columns ``path``, ``text``, ``base64``, or a column for each of several
    inputs. Outputs: the prediction's columns."""
    values = json.loads((bundle / "bundle.json").read_text("utf-8"))
    columns = output_columns(
        values["classes"], values["model"]["pooling"] == "none", values.get("labels") == "several"
    )
    inputs: list[ColSpec | TensorSpec] = [
        ColSpec(DataType.string, name, required=False) for name in _input_columns(values)
    ]
    outputs: list[ColSpec | TensorSpec] = [
        ColSpec(kind, name, required=False) for name, kind in columns.items()
    ]
    return ModelSignature(Schema(inputs), Schema(outputs))


def _input_columns(bundle: Mapping[str, Any]) -> tuple[str, ...]:
    """The columns that a model reads of a request's rows; ``bundle`` is its ``bundle.json``."""
    if "layout" not in bundle:
        return COLUMNS
    layout = InputLayout.from_stored(bundle["layout"])
    return tuple(part.name for part in (*layout.inputs, *layout.columns))


def output_columns(
    classes: Sequence[str], labels_steps: bool, is_several: bool
) -> dict[str, DataType]:
    """Columns of a prediction; the segments of labelled steps, and several labels, are one JSON
    string."""
    if labels_steps:
        return {"segments": DataType.string, "error": DataType.string}
    probabilities = {f"p_{name}": DataType.double for name in classes}
    label = "labels" if is_several else "label"
    return {label: DataType.string, "confidence": DataType.double} | probabilities | {
        "error": DataType.string
    }  # fmt: skip


def example(source: Source, columns: Sequence[str] = ()) -> pd.DataFrame:
    """One input row for ``predict``: a text, or the content of a file; of several inputs all of
    them, in ``columns``."""
    if isinstance(source, JoinedSource):
        parts = [None if part is None else example(part).iloc[0, 0] for part in source.inputs]
        cells = [cell or None for cell in source.cells]
        return pd.DataFrame([[*parts, *cells]], columns=list(columns), dtype=object)
    if isinstance(source, str):
        return pd.DataFrame({"text": [source]})
    if isinstance(source, np.ndarray):
        file = io.BytesIO()
        np.save(file, source, allow_pickle=False)
        source = file.getvalue()
    content = read_bytes(source)
    return pd.DataFrame({"base64": [base64.b64encode(content).decode("ascii")]})


class SequenceModel(PythonModel):
    """Predicts a table of paths, texts or base64 file contents; a bad row gets an error.

    Limits on what is read come from the environment (``ServeLimits``).
    """

    decision = ONE_CLASS

    def load_context(self, context: PythonModelContext) -> None:
        folder = Path(context.artifacts["bundle"])
        bundle = Bundle.load(folder)  # fails before the first request if the bundle is damaged
        self.limits = ServeLimits.from_environment()
        self.features, self.classes = bundle.features, bundle.classes
        self.decision = bundle.decision
        self.labels_steps = bundle.model.labels_steps
        self.output = (context.model_config or {}).get("output", OUTPUTS[0])
        has_one_label = not (self.labels_steps or bundle.target.is_several)
        if self.output not in OUTPUTS or (self.output != OUTPUTS[0] and not has_one_label):
            raise MlflowException(
                f"model_config: output {self.output!r}; expected one of {', '.join(OUTPUTS)}, "
                "and 'label' only of a model that has one label for a row",
                error_code=INVALID_PARAMETER_VALUE,
            )
        self.child = ModelProcess(folder, self.limits)
        _check_requests(self.limits)
        _keep_rows()

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns that are read of a request's rows."""
        if isinstance(self.features, SeveralInputs):
            return (*self.features.inputs, *self.features.columns)
        return COLUMNS

    def predict(
        self, context: Any, model_input: pd.DataFrame, params: dict[str, Any] | None = None
    ) -> pd.DataFrame | pd.Series:
        """One row of predictions for each row of ``model_input``; with the output ``label`` only
        the labels, "" for a row with an error, as ``mlflow.models.evaluate`` takes them.

        Behind a server, raises MlflowException (status 400) for a request without a known column.
        """
        given = model_input.reindex(columns=list(self.columns))
        if _IS_SERVED.get() and not given.map(lambda value: isinstance(value, str)).any(axis=None):
            raise MlflowException(
                f"expected rows with one of the columns {', '.join(self.columns)}, as in "
                f'{{"dataframe_records": [{{"{self.columns[-1]}": "…"}}]}}; no row has one',
                error_code=INVALID_PARAMETER_VALUE,
            )
        records: list[dict[str, Any]] = [
            dict(zip(self.columns, values)) for values in given.itertuples(index=False)
        ]
        sources = [self._read_row(row) for row in records]
        rows: list[dict[str, Any]] = [
            {"error": str(source)} if isinstance(source, BadInput) else {} for source in sources
        ]
        indices = [i for i, source in enumerate(sources) if not isinstance(source, BadInput)]
        contents = [source for source in sources if not isinstance(source, BadInput)]
        for index, reply in zip(indices, self.child.predict(contents) if contents else ()):
            rows[index] = self._row(reply, is_path=isinstance(records[index].get("path"), str))
        columns = output_columns(self.classes, self.labels_steps, self.decision.target.is_several)
        frame = pd.DataFrame(rows, columns=list(columns))
        if self.output == "label":
            return frame["label"].fillna("").astype(str)
        # A server would write missing values as NaN, which is not JSON; None becomes null.
        return frame.astype(object).where(frame.notna(), None)

    def _read_row(self, row: dict[str, Any]) -> Content | BadInput:
        if BROKEN in row.values():
            return BadInput(UNREADABLE, "the text is no Unicode: it has half a surrogate pair")
        if isinstance(self.features, SeveralInputs):
            return read_joined_row(row, self.limits, self.features)
        return read_row(row, self.limits, self.features.reads_text)

    def _row(self, reply: dict[str, Any], is_path: bool) -> dict[str, Any]:
        if "error" in reply:
            # Do not reveal the content of the server's files to the client.
            reason = reply.get("reason")
            return {"error": f"{reason}: not usable by this model" if is_path and reason
                             else reply["error"]}  # fmt: skip
        values = np.array(reply["values"], np.float32)
        classes, step_s = self.classes, self.features.step_s()
        if self.labels_steps and step_s is not None:
            return {"segments": json.dumps(unpack_segments(values, classes, step_s)), "error": None}
        names = self.decision.names(values, classes)
        is_several = self.decision.target.is_several
        label = (
            {"labels": json.dumps(names, ensure_ascii=False)} if is_several else {"label": names[0]}
        )
        probabilities = {
            f"p_{name}": float(probability)
            for name, probability in zip(classes, values, strict=True)
        }
        return {
            **label,
            "confidence": float(self.decision.confidence(values)),
            **probabilities,
            "error": None,
        }


def _check_requests(limits: ServeLimits) -> None:
    """Make MLflow's server reject requests that are too large or unreadable before it parses them.

    MLflow has no setting for it, parsed JSON takes eight times its size in memory, and Parquet any
    multiple.
    """
    original = scoring_server.invocations
    original = getattr(original, "checked", original)

    def invocations(data: bytes, content_type: str, *arguments: Any) -> Any:
        if len(data) > limits.max_bytes:
            return _refusal(413, f"request of {len(data)} bytes exceeds {limits.max_bytes} "
                                 "(SEQBELT_SERVE_MAX_MB)")  # fmt: skip
        kind = content_type.partition(";")[0].strip()
        if kind == scoring_server.CONTENT_TYPE_PARQUET:
            return _refusal(415, f"{kind} is not read; send application/json or text/csv")
        if kind == scoring_server.CONTENT_TYPE_JSON:
            try:
                data = _rows_as_records(data)
            except (ValueError, RecursionError) as error:
                return _refusal(400, f'expected JSON as {{"dataframe_records": [...]}}: {error}')
        return original(data, content_type, *arguments)

    invocations.checked = original  # type: ignore[attr-defined]
    scoring_server.invocations = invocations


def _refusal(status: int, error: str) -> Any:
    return scoring_server.InvocationsResponse(
        response=json.dumps({"error": error}), status=status, mimetype="application/json"
    )


def _rows_as_records(body: bytes) -> bytes:
    """The body with rows of ``instances`` as ``dataframe_records``: MLflow makes columns of the
    former, and forgets which rows had no value in a column. Broken texts are marked, since its
    tables cannot hold them.

    Raises ValueError or RecursionError if the body is not JSON, or gives a key twice.
    """
    values = json.loads(body, object_pairs_hook=distinct_keys)
    marked = _mark_broken(values) if _SURROGATE.search(body) else values
    rows = marked.get("instances") if isinstance(marked, dict) else None
    if isinstance(rows, list) and rows and all(isinstance(row, dict) for row in rows):
        del marked["instances"]
        marked = {**marked, "dataframe_records": rows}
    elif marked is values:
        return body
    return json.dumps(marked).encode()


def _mark_broken(value: Any) -> Any:
    """The same with ``BROKEN`` in the place of texts with half a surrogate pair."""
    if isinstance(value, dict):
        return {key: _mark_broken(part) for key, part in value.items()}
    if isinstance(value, list):
        return [_mark_broken(part) for part in value]
    is_broken = isinstance(value, str) and any("\ud800" <= sign <= "\udfff" for sign in value)
    return BROKEN if is_broken else value


def _keep_rows() -> None:
    """Let rows without a known column reach the model, which gives each its error.

    MLflow leaves unknown columns out before a model is asked, and with the last one the rows.
    """
    validate = getattr(mlflow.pyfunc, "_validate_prediction_input", None)
    if validate is None or hasattr(validate, "keeps_rows"):
        return

    def keeping(data: Any, params: Any, input_schema: Any, *more: Any, **named: Any) -> Any:
        is_ours = input_schema is not None and [*input_schema.input_names()] == [*COLUMNS]
        if is_ours and isinstance(data, list | np.ndarray | pd.Series):
            data = pd.DataFrame(list(data))
        if is_ours and isinstance(data, pd.DataFrame) and not set(COLUMNS) & set(data.columns):
            data = data.assign(**{COLUMNS[0]: None})
        return validate(data, params, input_schema, *more, **named)

    keeping.keeps_rows = True  # type: ignore[attr-defined]
    setattr(mlflow.pyfunc, "_validate_prediction_input", keeping)  # noqa: B010  # not public


if __name__ not in ("seqbelt.tracking.pyfunc_model",):  # loaded as model code by MLflow
    mlflow.models.set_model(SequenceModel())
