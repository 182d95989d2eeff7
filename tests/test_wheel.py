"""The wheel: built, installed apart from the working tree, and used."""

import os
import platform
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from seqbelt.models.fused.compiler import INSTRUCTIONS, compiler_problem, library_name

ROOT = Path(__file__).parents[1]
pytestmark = pytest.mark.slow
COMPILES = (sys.platform, platform.machine()) == ("linux", "x86_64") and not compiler_problem()


def call(*command: str, **options) -> subprocess.CompletedProcess:
    return subprocess.run(command, capture_output=True, text=True, timeout=300, **options)


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    built = call(
        sys.executable,
        *("-m", "pip", "wheel", "--no-deps", str(ROOT), "--wheel-dir", str(folder)),
        env={**os.environ, "SEQBELT_BUILD_AHEAD": str(int(COMPILES))},
    )
    if built.returncode and "hatchling" in built.stderr + built.stdout:
        pytest.skip("the build backend cannot be installed here")
    assert built.returncode == 0, built.stderr
    (found,) = folder.glob("*.whl")
    return found


def test_every_file_of_the_package_is_in_the_wheel(wheel):
    package = ROOT / "src/seqbelt"
    files = [path for path in package.rglob("*") if path.is_file() and path.suffix != ".pyc"]
    wanted = {str(path.relative_to(ROOT / "src")) for path in files}
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
    assert wanted - names == set()
    assert any(name.endswith(".dist-info/licenses/LICENSE") for name in names)


@pytest.mark.skipif(not COMPILES, reason="a wheel has libraries where x86-64 Linux compiles them")
def test_the_wheel_needs_no_compiler(wheel, tmp_path):
    assert "-py3-none-manylinux_2_" in wheel.name
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(tmp_path)
    libraries = {path.name for path in tmp_path.glob("seqbelt/models/fused/libraries/*")}
    assert libraries == {library_name(instructions) for instructions in INSTRUCTIONS}
    code = "from seqbelt.models import fused; print(fused.__file__, fused.why_unavailable())"
    caches = {"TORCH_EXTENSIONS_DIR": str(tmp_path / "cache"), "CXX": "no-such-compiler"}
    environment = {**os.environ, "PYTHONPATH": str(tmp_path), **caches}
    environment.pop("SEQBELT_FUSED", None)
    found = call(sys.executable, "-c", code, cwd=tmp_path, env=environment).stdout.split()
    assert Path(found[0]).is_relative_to(tmp_path) and found[1:] == ["None"]


def test_the_wheel_works_without_the_working_tree(wheel, tmp_path):
    target = tmp_path / "installed"
    done = call(
        sys.executable, "-m", "pip", "install", "--no-deps", "--target", str(target), str(wheel)
    )
    assert done.returncode == 0, done.stderr
    environment = {**os.environ, "PYTHONPATH": str(target)}
    code = "import seqbelt; print(seqbelt.__file__)"
    found = call(sys.executable, "-c", code, cwd=tmp_path, env=environment)
    assert Path(found.stdout.strip()).is_relative_to(target), found.stderr
    rows = "\n".join(f"a film that was {('good', 'bad')[n % 2]},{n % 2}" for n in range(20))
    (tmp_path / "films.csv").write_text(f"text,label\n{rows}\n")
    for arguments in (["init", "films.csv"], ["prepare", "films.yaml"]):
        done = call(sys.executable, "-m", "seqbelt", *arguments, cwd=tmp_path, env=environment)
        assert done.returncode == 0, done.stderr
