"""Fixtures of the tests that keep runs."""

import json
from collections.abc import Callable, Iterator

import pytest

from seqbelt.commands import export, predict
from seqbelt.inference.isolation import ChildContext

supervise = predict.supervise


@pytest.fixture(scope="session", autouse=True)
def tracking(migrated_once) -> None:
    """No test here waits for MLflow's migrations but the first."""


@pytest.fixture(scope="module", autouse=True)
def blank_figures() -> Iterator[Callable[..., None]]:
    """Figures are made and logged, but as one pixel each: drawing takes a third of the time of a
    comparison. ``tests/plots`` draws them, and so do the tests here with ``drawn_figures``."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from PIL import Image

    def print_blank(self, file, **_):
        Image.new("RGB", (1, 1)).save(file, "PNG")

    draw = FigureCanvasAgg.print_png
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(FigureCanvasAgg, "print_png", print_blank)
        yield draw


@pytest.fixture
def drawn_figures(blank_figures, monkeypatch) -> None:
    """Figures are drawn."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    monkeypatch.setattr(FigureCanvasAgg, "print_png", blank_figures)


@pytest.fixture(autouse=True)
def exports_timed_briefly(monkeypatch) -> None:
    """The speed of an exported file is measured for a moment, on two sequences."""
    monkeypatch.setattr(export, "TIMED_S", 0.0)
    monkeypatch.setattr(export, "NUM_TIMED", 2)


@pytest.fixture(autouse=True)
def predicting_here(monkeypatch) -> None:
    """Predictions are made in this process: a child takes three seconds to import what is here.
    Arguments and answers pass through JSON as they do to a child and back."""

    def work(module: str, arguments: dict, timeout_s: float) -> dict:
        result = predict._work(json.loads(json.dumps(arguments)), ChildContext())
        return json.loads(json.dumps(result))

    monkeypatch.setattr(predict, "supervise", work)


@pytest.fixture
def predicting_in_a_child(predicting_here, monkeypatch) -> None:
    """Predictions are made in a child, as the command makes them."""
    monkeypatch.setattr(predict, "supervise", supervise)
