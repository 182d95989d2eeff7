"""Load models from a MODEL argument: a bundle folder or an MLflow URI."""

from pathlib import Path

from seqbelt.errors import SeqbeltError, SettingsError
from seqbelt.inference.bundle import Bundle
from seqbelt.inference.engine import EngineName, ProductPrecision
from seqbelt.inference.predictor import Predictor

URI_PREFIXES = ("models:/", "runs:/")


def load(model: str | Path, device: str = "auto") -> Predictor:
    """Load a saved model for prediction: ``seqbelt.load("models:/pets@champion")``.

    ``model`` is a bundle folder or an MLflow URI (``models:/NAME@champion``, ``models:/NAME/3``,
    ``runs:/ID/model``); ``device`` is ``auto``, ``cpu`` or ``cuda``. The predictor's ``predict``
    takes numbered sources (paths, texts, bytes or arrays), ``probabilities`` takes encoded
    sequences ``(steps, features)``; ``bundle.classes`` names the columns. Raises SeqbeltError
    if there is no such model or its files are damaged.
    """
    folder, _ = load_folder(str(model))
    return Predictor(Bundle.load(folder), device)


def load_predictor(folder: Path, engine: EngineName, precision: ProductPrecision) -> Predictor:
    """A predictor for the bundle in a folder, on this machine or on a Ray cluster."""
    bundle = Bundle.load(folder)
    if engine != "ray":
        return Predictor(bundle, engine=engine, precision=precision)
    from seqbelt.inference.ray_engine import RayPredictor

    if precision != "float32":
        raise SettingsError(f"--precision {precision}: --engine ray computes in float32")
    return RayPredictor(bundle)


def load_folder(model: str, project: Path | None = None) -> tuple[Path, str]:
    """The bundle folder of a MODEL argument, and its resolved name (``models:/NAME/3``).

    ``project`` is the folder whose ``mlruns/`` has the registry. Raises SeqbeltError if there is
    no such registry or model.
    """
    if project is not None:
        from seqbelt.tracking.address import use_project

        use_project(project)
    if model.startswith(URI_PREFIXES):
        from seqbelt.tracking.registry_file import resolve_from_file

        if (bundle_and_version := resolve_from_file(model)) is not None:
            return bundle_and_version
        # Imported here: MLflow takes seconds to import.
        from seqbelt.tracking.publish import resolve

        return resolve(model)
    if not Path(model, "bundle.json").is_file():
        raise SeqbeltError(
            f"'{model}' is neither a bundle folder (no bundle.json in it) nor an MLflow URI "
            "(models:/name@champion, models:/name/3, runs:/id/model)"
        )
    return Path(model), model
