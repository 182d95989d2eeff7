"""The model as MLflow serves it: logged as this code, with a bundle as its artifact."""

import base64
import binascii
import io
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import mlflow.models
import numpy as np
import pandas as pd
from mlflow.models import ModelSignature
from mlflow.pyfunc.model import PythonModel, PythonModelContext
from mlflow.types import ColSpec, DataType, Schema, TensorSpec

from seqbelt.errors import WRONG_TYPE, BadInput
from seqbelt.features.base import Source, read_bytes
from seqbelt.inference.bundle import Bundle
from seqbelt.inference.predictor import Prediction, Predictor
from seqbelt.inference.segments import unpack_segments

COLUMNS = ("path", "text", "base64")


def signature(bundle: Path) -> ModelSignature:
    """Inputs: one of the columns ``path``, ``text``, ``base64``. Outputs: the answer's columns."""
    values = json.loads((bundle / "bundle.json").read_text("utf-8"))
    columns = answer_columns(values["classes"], values["model"]["pooling"] == "none")
    inputs: list[ColSpec | TensorSpec] = [
        ColSpec(DataType.string, name, required=False) for name in COLUMNS
    ]
    outputs: list[ColSpec | TensorSpec] = [
        ColSpec(kind, name, required=False) for name, kind in columns.items()
    ]
    return ModelSignature(Schema(inputs), Schema(outputs))


def answer_columns(classes: Sequence[str], labels_steps: bool) -> dict[str, DataType]:
    """What an answer's row holds; the segments of labelled steps are one text of JSON."""
    if labels_steps:
        return {"segments": DataType.string, "error": DataType.string}
    shares = {f"p_{name}": DataType.double for name in classes}
    return {"label": DataType.string, "confidence": DataType.double} | shares | {
        "error": DataType.string
    }  # fmt: skip


def example(source: Source) -> pd.DataFrame:
    """One row as ``predict`` takes it: a text, or the content of a file."""
    if isinstance(source, str):
        return pd.DataFrame({"text": [source]})
    if isinstance(source, np.ndarray):
        file = io.BytesIO()
        np.save(file, source, allow_pickle=False)
        source = file.getvalue()
    content = read_bytes(source)
    return pd.DataFrame({"base64": [base64.b64encode(content).decode("ascii")]})


class SequenceModel(PythonModel):
    """Answers a table of paths, texts or base64 file contents; a bad row gets its own error."""

    def load_context(self, context: PythonModelContext) -> None:
        self.predictor = Predictor(Bundle.load(Path(context.artifacts["bundle"])))

    def predict(
        self, context: Any, model_input: pd.DataFrame, params: dict[str, Any] | None = None
    ) -> pd.DataFrame:
        """One row of answers for each row of ``model_input``."""
        sources: list[Source | BadInput] = [_source(row) for row in model_input.to_dict("records")]
        numbered = [(i, s) for i, s in enumerate(sources) if not isinstance(s, BadInput)]
        rows: list[dict[str, Any]] = [
            {"error": str(source)} if isinstance(source, BadInput) else {} for source in sources
        ]
        for answer in self.predictor.predict(numbered):
            assert isinstance(answer, Prediction)
            rows[answer.index] = self._row(answer)
        bundle = self.predictor.bundle
        columns = answer_columns(bundle.classes, bundle.network.labels_steps)
        frame = pd.DataFrame(rows, columns=list(columns))
        # A server would write what is missing as NaN, which is no JSON: None becomes null.
        return frame.astype(object).where(frame.notna(), None)

    def _row(self, answer: Prediction) -> dict[str, Any]:
        found = answer.probabilities
        if isinstance(found, BadInput):
            return {"error": str(found)}
        bundle = self.predictor.bundle
        classes, step_s = bundle.classes, bundle.features.step_s()
        if bundle.network.labels_steps and step_s is not None:
            return {"segments": json.dumps(unpack_segments(found, classes, step_s)), "error": None}
        best = int(found.argmax())
        shares = {f"p_{name}": float(share) for name, share in zip(classes, found, strict=True)}
        return {"label": classes[best], "confidence": float(found[best]), **shares, "error": None}


def _source(row: dict[str, Any]) -> Source | BadInput:
    given = {name: row[name] for name in COLUMNS if isinstance(row.get(name), str)}
    if len(given) != 1:
        return BadInput(WRONG_TYPE, f"expected one of {', '.join(COLUMNS)}; found {list(given)}")
    ((name, value),) = given.items()
    if name == "path":
        return Path(value)
    if name == "text":
        return value
    try:
        return base64.b64decode(value, validate=True)
    except binascii.Error as error:
        return BadInput(WRONG_TYPE, f"not base64: {error}")


if __name__ not in ("seqbelt.tracking.pyfunc_model",):  # loaded as model code by MLflow
    mlflow.models.set_model(SequenceModel())
