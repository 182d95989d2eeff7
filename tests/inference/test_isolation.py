"""A decoder that crashes or hangs costs one item, not the job; nobody waits for a dead parent."""

import json
import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import psutil
import pytest
import torch

from seqbelt.data.sources.file_walk import list_files
from seqbelt.errors import SeqbeltError, SettingsError
from seqbelt.features.audio.audio import Waveform
from seqbelt.features.crash_board import Board
from seqbelt.inference import isolation
from seqbelt.inference.bundle import Bundle
from seqbelt.inference.bundle_weights import weights_of
from seqbelt.inference.isolation import supervise
from seqbelt.models.classifier import build_network
from seqbelt.models.model import Model

WAIT_S = 120.0
SOURCES = str(Path(isolation.__file__).parents[2])
DANGEROUS = """
    import signal, threading, time
    from pathlib import Path
    from seqbelt.features.audio import audio
    from seqbelt.inference.isolation import serve

    decode = audio.decode_audio

    def dangerous(content, max_duration_s):
        # To this very thread, as a real crash: another might take the signal a moment later.
        if b"CRASH" in content:
            signal.pthread_kill(threading.get_ident(), signal.SIGSEGV)
        if b"HANG" in content:
            time.sleep(1000)
        if b"ONCE" in content and not Path("once").exists():
            Path("once").touch()
            signal.pthread_kill(threading.get_ident(), signal.SIGKILL)
        return decode(content, max_duration_s)

    audio.decode_audio = dangerous
    from seqbelt.commands.predict import _work

    serve(_work)
"""


@pytest.fixture(autouse=True)
def project(tmp_path, monkeypatch, write_wavs):
    """A folder with a bundle, recordings and a module that decodes dangerously."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(tmp_path), SOURCES]))
    monkeypatch.setenv("SEQBELT_FUSED", "0")
    Path("dangerous.py").write_text(textwrap.dedent(DANGEROUS))
    write_wavs(Path("in"), 12)
    torch.manual_seed(0)
    features = Waveform(kind="waveform", sample_rate=8000, window_ms=1.0, hop_ms=1.0)
    model = Model(cell="gru", hidden_size=6, layout="padded")
    network = build_network(model, 8, 2, is_tokens=False)
    Bundle("toy", features, {}, model, ("low", "high"), 8, weights_of(network), {}).save(
        Path("bundle")
    )


def put(name: str, words: bytes) -> None:
    """A good recording with words behind its samples, where a decoder does not look."""
    good = Path("in/low/000.wav").read_bytes()
    Path("in", name).write_bytes(good + words)


def run(output: str = "out.jsonl", timeout_s: float = WAIT_S) -> tuple[dict, dict[str, dict]]:
    arguments = {"model": "bundle", "inputs": ["in"], "output": output}
    result = supervise("dangerous", arguments, timeout_s)
    rows = [json.loads(line) for line in Path(output).read_text("utf-8").splitlines()]
    assert [row["path"] for row in rows] == list(list_files(Path("in")))
    return result, {row["path"]: row for row in rows}


def errors(rows: dict[str, dict]) -> dict[str, str]:
    return {name: row["error"] for name, row in rows.items() if row["error"]}


@pytest.mark.slow
def test_a_job_without_danger_is_done_once(monkeypatch):
    result, rows = run()
    assert errors(rows) == {} and result["num_predicted"] == 12
    assert result["accuracy"]["num_labelled"] == 12
    again, _ = run()
    assert again["num_reused"] == 12


@pytest.mark.slow
def test_a_crash_costs_one_item_and_is_remembered(monkeypatch):
    put("a.wav", b"CRASH")
    put("low/b.wav", b"CRASH again")
    result, rows = run()
    found = errors(rows)
    assert set(found) == {"a.wav", "low/b.wav"}
    assert all(error.startswith("crashed: ") and "SIGSEGV" in error for error in found.values())
    assert (result["num_predicted"], result["reasons"]) == (12, {"crashed": 2})
    Path("in/a.wav").unlink()
    Path("in/low/b.wav").unlink()
    undisturbed, expected = run("calm.jsonl")
    assert undisturbed["num_predicted"] == 12
    for name, row in expected.items():
        assert rows[name] == row
    put("renamed.wav", b"CRASH")  # the journal knows the content: nobody dies of it again
    monkeypatch.setattr(
        isolation._Supervisor, "_attribute_crash", lambda *_: pytest.fail("it died again")
    )
    result, rows = run()
    assert errors(rows)["renamed.wav"].startswith("crashed: ")


@pytest.mark.slow
def test_a_decoder_that_hangs_costs_its_time_and_one_item():
    put("a.wav", b"HANG")
    result, rows = run(timeout_s=2.0)  # those that wait together get it once for each
    assert errors(rows).keys() == {"a.wav"}
    assert errors(rows)["a.wav"] == "timed out: not read within 2 s; raise --timeout-s"
    assert result["num_predicted"] == 12


@pytest.mark.slow
def test_a_death_that_does_not_repeat_blames_nobody():
    put("a.wav", b"ONCE")
    result, rows = run()
    assert Path("once").exists() and errors(rows) == {} and result["num_predicted"] == 13


def serve_with(body: str) -> None:
    module = "from seqbelt.inference.isolation import serve\n" + textwrap.dedent(body)
    Path("module.py").write_text(module)


def test_what_nobody_is_to_blame_for_ends_the_job():
    serve_with("""
        import os
        serve(lambda arguments, context: os.kill(os.getpid(), 9))
    """)
    with pytest.raises(SeqbeltError, match="SIGKILL"):
        supervise("module", {}, WAIT_S)


def test_it_is_given_up_when_it_dies_again_and_again():
    serve_with("""
        import os
        def work(arguments, context):
            with open("deaths", "a") as file:
                file.write("x")
            with context.board.working_on([7]):
                os.kill(os.getpid(), 9)
        serve(work)
    """)
    with pytest.raises(SeqbeltError, match="not because of an input"):
        supervise("module", {}, WAIT_S)
    assert len(Path("deaths").read_text()) == isolation.MAX_UNEXPLAINED + 1


@pytest.mark.parametrize("kind", [SettingsError, SeqbeltError, KeyboardInterrupt])
def test_the_child_s_error_is_the_caller_s(kind):
    module = "seqbelt.errors" if kind is not KeyboardInterrupt else "builtins"
    serve_with(f"""
        from {module} import {kind.__name__}
        def work(arguments, context):
            raise {kind.__name__}("é is bad")
        serve(work)
    """)
    with pytest.raises(kind, match="é is bad"):
        supervise("module", {}, WAIT_S)


def test_an_interrupt_that_became_another_error_is_not_shown_as_that(capfd):
    serve_with("""
        import os, signal, time
        def work(arguments, context):
            os.kill(os.getppid(), signal.SIGINT)
            try:
                while True:
                    time.sleep(0.01)
            except KeyboardInterrupt:
                raise RuntimeError("cannot build") from None
        serve(work)
    """)
    with pytest.raises(KeyboardInterrupt):
        supervise("module", {}, WAIT_S)
    assert "Traceback" not in capfd.readouterr().err


def test_the_result_and_the_arguments_pass_unchanged():
    serve_with("serve(lambda arguments, context: {'got': arguments})")
    arguments = {"inputs": ["caf\udce9", "new\nline"], "one": None}
    assert supervise("module", arguments, WAIT_S) == {"got": arguments}


def test_a_child_does_not_outlive_its_parent():
    serve_with("""
        import os, time
        from pathlib import Path
        def work(arguments, context):
            Path("child").write_text(str(os.getpid()))
            time.sleep(1000)
        serve(work)
    """)
    script = "from seqbelt.inference.isolation import supervise; supervise('module', {}, 99.0)"
    parent = subprocess.Popen([sys.executable, "-c", script])
    until = time.monotonic() + WAIT_S
    while not (Path("child").exists() and Path("child").read_text()) and time.monotonic() < until:
        time.sleep(0.01)
    child = int(Path("child").read_text())
    parent.send_signal(signal.SIGKILL)
    parent.wait(WAIT_S)
    until = time.monotonic() + WAIT_S
    while psutil.pid_exists(child) and time.monotonic() < until:
        time.sleep(0.01)
    assert not psutil.pid_exists(child)


def test_the_boards_bytes_are_on_the_disk(tmp_path):
    Board(tmp_path / "board")  # with a hole in it, a full disk would be a signal at its first word
    status = (tmp_path / "board").stat()
    assert 512 * status.st_blocks >= status.st_size > 1 << 20


def test_what_a_child_leaves_in_the_temporary_folder_goes_with_it():
    Path("littering.py").write_text(
        "import tempfile\n"
        "from seqbelt.inference.isolation import serve\n"
        "serve(lambda arguments, context: {'folder': tempfile.mkdtemp()})\n"
    )
    assert not Path(supervise("littering", {}, 60.0)["folder"]).exists()
