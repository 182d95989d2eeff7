"""What the documentation says is so: the reference is the code's, and its examples run."""

import os
import re
import runpy
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml

import seqbelt

ROOT = Path(__file__).parents[2]
CASES = runpy.run_path(str(ROOT / "docs" / "generate_cases.py"))
REFERENCE = runpy.run_path(str(ROOT / "docs" / "generate_reference.py"))


@pytest.fixture(scope="module")
def reference() -> dict[str, str]:
    """The reference of the code, page by page."""
    return REFERENCE["pages"]()


def blocks(path: Path, *languages: str) -> list[str]:
    """The fenced blocks of a page in some languages, in order."""
    text = path.read_text("utf-8")
    found = re.findall(r"^```(\w*)\n(.*?)^```$", text, flags=re.MULTILINE | re.DOTALL)
    return [body for language, body in found if language in languages]


def without_comments(block: str) -> list[str]:
    lines = (re.sub(r"\s*(^|\s)#.*$", "", line).rstrip() for line in block.splitlines())
    return [line for line in lines if line.strip()]


def test_the_architecture_shows_the_layers_that_imports_go_along():
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]
    (layers,) = [one["layers"] for one in contracts["contracts"] if one["type"] == "layers"]
    _, drawn, *_ = blocks(ROOT / "docs/architecture.md", "")
    lines = [re.split(r"\s{2,}", line.strip())[0] for line in drawn.splitlines()]
    shown = [{name.strip(" /") for name in line.split("│")} for line in lines if line != "│"]
    assert shown == [{part.strip(" ").removeprefix("seqbelt.") for part in layer.split("|")}
                     for layer in layers]  # fmt: skip


def test_the_architecture_names_files_that_are_there_and_about_how_many():
    text = (ROOT / "docs/architecture.md").read_text("utf-8")
    source = ROOT / "src/seqbelt"
    files = [path.relative_to(source).as_posix() for path in source.rglob("*.py")]
    for name in re.findall(r"[a-z_/]+\.py\b", text):
        assert any(file == name or file.endswith(f"/{name}") for file in files), name
    counted = re.findall(r"^\| `(\w+)` \| (\d+) \|", text, flags=re.MULTILINE)
    assert len(counted) == 15
    for package, count in counted:
        num_files = sum(file.startswith(f"{package}/") for file in files)
        assert int(count) == pytest.approx(num_files, rel=0.2), package


@pytest.mark.parametrize("name", ["settings.md", "commands.md", "modules.md"])
def test_the_reference_is_that_of_the_code(reference, name):
    found = (ROOT / "docs" / "reference" / name).read_text("utf-8")
    assert found == reference[name], "run: python docs/generate_reference.py"


def test_the_page_of_cases_is_that_of_the_corpus():
    found = CASES["PAGE"].read_text("utf-8")
    assert found == CASES["page"](), "run: python docs/generate_cases.py"


@pytest.mark.parametrize(
    ("name", "fewest"), [("settings.md", 150), ("commands.md", 40), ("modules.md", 40)]
)
def test_every_setting_argument_and_module_says_what_it_does(reference, name, fewest):
    lines = reference[name].splitlines()
    rows = [re.split(r"(?<!\\)\|", line)[1:-1] for line in lines if line.startswith("| `")]
    assert len(rows) > fewest
    assert [row[0] for row in rows if not row[-1].strip()] == []


@pytest.mark.parametrize("name", ["README", "docs/guide"])
def test_the_korean_page_has_the_same_commands(name):
    languages = ("sh", "yaml", "python")
    english = [without_comments(b) for b in blocks(ROOT / f"{name}.md", *languages)]
    korean = [without_comments(b) for b in blocks(ROOT / f"{name}.ko.md", *languages)]
    assert english and korean == english


@pytest.mark.parametrize("name", ["README.md", "README.ko.md", "docs/guide.md", "docs/guide.ko.md"])
def test_links_lead_somewhere(name):
    page = ROOT / name
    links = re.findall(r"\]\(([^)#:]+)(?:#[\w-]+)?\)", page.read_text("utf-8"))
    assert links and [link for link in links if not (page.parent / link).exists()] == []


def test_the_versions_of_python_are_those_of_the_package():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    named = "Programming Language :: Python :: "
    versions = [one.removeprefix(named) for one in project["classifiers"] if named in one]
    assert project["requires-python"] == f">={versions[0]}"
    english, korean = ((ROOT / name).read_text("utf-8") for name in ("README.md", "README.ko.md"))
    assert f"Python {versions[0]} to {versions[-1]}" in english
    assert f"Python {versions[0]}부터 {versions[-1]}까지" in korean


def test_the_citation_is_of_this_version():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text("utf-8"))
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    assert citation["version"] == seqbelt.__version__
    assert citation["license"] == project["license"]


@pytest.mark.slow
def test_the_tutorial_runs_as_it_stands(tmp_path):
    page = ROOT / "docs" / "tutorial.md"
    environment = {name: value for name, value in os.environ.items() if "MLFLOW" not in name}
    environment["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{environment['PATH']}"

    def run(command: list[str], expected: int = 0) -> None:
        done = subprocess.run(
            command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=1800
        )
        assert done.returncode == expected, f"{command}: {done.stdout}{done.stderr}"

    run([sys.executable, "-c", blocks(page, "python")[0]])
    (tmp_path / "tones.yaml").write_text(blocks(page, "yaml")[0])
    # 3: one recording is broken, and the page says so.
    for command, expected in zip(without_comments(blocks(page, "sh")[0]), (3, 0, 3), strict=True):
        run(command.split(), expected)
    labels = (tmp_path / "labels.csv").read_text("utf-8").splitlines()
    assert len(labels) == 82
    assert "broken.wav" in (tmp_path / "data/prepared/tones/quarantine.csv").read_text("utf-8")


@pytest.mark.slow
def test_the_notebook_runs():
    nbformat = pytest.importorskip("nbformat", reason="nbformat is not installed")
    nbclient = pytest.importorskip("nbclient", reason="nbclient is not installed")
    notebook = nbformat.read(ROOT / "examples" / "estimator.ipynb", as_version=4)
    nbclient.NotebookClient(notebook, timeout=900, kernel_name="python3").execute()
    (accuracy,) = [
        float(output["data"]["text/plain"])
        for cell in notebook.cells
        if cell.cell_type == "code" and cell.source.endswith("\naccuracy")
        for output in cell.outputs
        if "data" in output
    ]
    assert accuracy > 0.8


@pytest.mark.parametrize("name", ["README.md", "README.ko.md"])
def test_the_readme_names_the_pythons_of_the_package(name):
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    minors = [
        int(one.rpartition(".")[2]) for one in project["classifiers"] if "Python :: 3." in one
    ]
    assert project["requires-python"] == f">=3.{minors[0]}"
    (said,) = re.findall(r"Python 3\.(\d+)(?: to |부터 )3\.(\d+)", (ROOT / name).read_text("utf-8"))
    assert said == (str(minors[0]), str(minors[-1]))
