"""Several processes train the model that one would."""

import json
import os
import shutil
import subprocess
import sys
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from toys import toy_store

from seqbelt.training.distributed import Ranks

SCRIPT = """
import atexit, glob, json, os, sys, time
import torch
from safetensors.torch import save_file
from toys import PLAIN, UNCHANGED, Ready  # the kind of features that the store has
from seqbelt.data.store.store import SequenceStore
from seqbelt.models.classifier import build_network
from seqbelt.models.model import Model
from seqbelt.training.hyperparameters import Training
from seqbelt.training.loop import Loop

folder, deadly_epoch, resume = sys.argv[1], int(sys.argv[2]), sys.argv[3] == "resume"
torch.set_num_threads(1)
rank = int(os.environ.get("RANK", 0))
store = SequenceStore(folder + "/store")

@atexit.register  # the first that is registered is called last
def tell_the_end():
    threads = [open(path).read() for path in glob.glob("/proc/self/task/*/comm")]
    is_closed = not torch.distributed.is_initialized() and "gloo" not in "".join(threads)
    open(folder + f"/closed-{rank}.json", "w").write(json.dumps(is_closed))

training = Training(num_epochs=8, batch_size=29, learning_rate=0.02, device="cpu", **UNCHANGED)

def on_epoch(epoch):
    if epoch.number == deadly_epoch and rank == 1:
        os._exit(7)

network, history = Loop(training,
    lambda: build_network(Model(hidden_size=8, **PLAIN), 3, 2, False), store.split("train"),
    store.split("validation"), checkpoint=__import__("pathlib").Path(folder, "c.safetensors"),
    on_epoch=on_epoch,
).run(resume)
if rank == 0:
    save_file(network.state_dict(), folder + "/weights.safetensors")
    numbers = [[e.train_loss, e.gradient_norm, e.validation.loss] for e in history.epochs]
    open(folder + "/history.json", "w").write(json.dumps(numbers))
"""


def ranks(number, count):
    return Ranks(SimpleNamespace(num_processes=count, process_index=number))


def test_a_batch_is_shared_out_whole_and_fairly():
    lengths = np.random.default_rng(0).integers(1, 50, 100)
    rows = np.arange(20, 51)
    shares = [ranks(number, 3).local_rows(rows, lengths) for number in range(3)]
    assert sorted(np.concatenate(shares)) == rows.tolist()
    steps = [lengths[share].sum() for share in shares]
    assert max(steps) - min(steps) <= lengths[rows].max()


def test_with_more_processes_than_rows_some_have_none():
    assert [ranks(number, 3).has_rows(np.array([4])) for number in range(3)] == [
        True,
        False,
        False,
    ]


def test_alone_the_order_stays():
    rows = np.array([3, 1, 2])
    assert ranks(0, 1).local_rows(rows, np.array([1, 2, 3, 4])) is rows


@pytest.fixture
def folder(tmp_path):
    toy_store(tmp_path / "store")
    (tmp_path / "train.py").write_text(SCRIPT)
    return tmp_path


LAUNCH = (sys.executable, "-m", "torch.distributed.run")


def environment(**more):
    python_path = os.pathsep.join(filter(None, sys.path))
    return {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": python_path, **more}


def run(folder, processes, deadly_epoch=0, how="anew"):
    launch = [*LAUNCH, "--standalone", f"--nproc-per-node={processes}"]
    return subprocess.run(
        [*(launch if processes > 1 else [sys.executable]), str(folder / "train.py"),
         str(folder), str(deadly_epoch), how],
        env=environment(), capture_output=True, text=True, timeout=900,
    )  # fmt: skip


def results(folder):
    numbers = np.array(json.loads((folder / "history.json").read_text()))
    return load_file(folder / "weights.safetensors"), numbers


@pytest.mark.slow
def test_two_processes_learn_what_one_does(folder):
    """30 training rows in batches of 29: of the last one a process has no row at all."""
    assert run(folder, 1).returncode == 0
    expected, numbers = results(folder)
    done = run(folder, 2)
    assert done.returncode == 0, done.stderr
    for number in range(2):  # else now and then a process ends in SIGABRT
        assert json.loads((folder / f"closed-{number}.json").read_text()) is True
    found, own_numbers = results(folder)
    np.testing.assert_allclose(own_numbers, numbers, rtol=1e-4)
    for name, value in expected.items():
        torch.testing.assert_close(found[name], value, rtol=1e-3, atol=1e-3)


@pytest.mark.slow
def test_a_process_that_dies_ends_the_training_which_then_goes_on(folder):
    assert run(folder, 2).returncode == 0
    expected, _ = results(folder)
    (folder / "weights.safetensors").unlink()
    (folder / "c.safetensors").unlink()
    died = run(folder, 2, deadly_epoch=2)
    assert died.returncode != 0
    assert not (folder / "weights.safetensors").exists()
    done = run(folder, 2, how="resume")
    assert done.returncode == 0, done.stderr
    found, _ = results(folder)
    for name, value in expected.items():
        assert torch.equal(found[name], value), name


FIRST, SECOND = (f"seqbelt-{os.getpid()}-{letter}" for letter in "ab")
NODES = {FIRST: "10.213.77.1", SECOND: "10.213.77.2"}
"""Network namespaces, each with an address of its own: two machines but for the hardware. Their
names are the whole machine's, so each process that runs the tests has its own."""


def ip(*words):
    return subprocess.run(["ip", *words], capture_output=True, text=True)


@pytest.fixture
def two_machines():
    if not shutil.which("ip") or os.geteuid() != 0 or ip("netns", "add", FIRST).returncode:
        pytest.skip("making network namespaces needs ip and root")
    try:
        ip("netns", "add", SECOND)
        ip("link", "add", "wire", "netns", FIRST, "type", "veth", "peer", "wire", "netns", SECOND)
        for name, address in NODES.items():
            ip("-n", name, "address", "add", f"{address}/24", "dev", "wire")
            for device in ("wire", "lo"):
                ip("-n", name, "link", "set", device, "up")
        yield
    finally:
        for name in NODES:
            ip("netns", "del", name)


def run_nodes(folder, deadly_epoch=0, how="anew"):
    """One process on each machine, which meet at the first one's address; exit codes, outputs."""
    nodes = [
        subprocess.Popen(
            ["ip", "netns", "exec", name, *LAUNCH, "--nnodes=2", "--nproc-per-node=1",
             f"--node-rank={number}", f"--master-addr={NODES[FIRST]}", "--master-port=29577",
             str(folder / "train.py"), str(folder), str(deadly_epoch), how],
            env=environment(GLOO_SOCKET_IFNAME="wire"),
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        )
        for number, name in enumerate(NODES)
    ]  # fmt: skip
    outputs = [node.communicate(timeout=900)[0] for node in nodes]
    return [node.returncode for node in nodes], outputs


@pytest.mark.slow
def test_two_machines_learn_what_one_process_does_and_notice_each_other_s_end(folder, two_machines):
    assert run(folder, 1).returncode == 0
    expected, _ = results(folder)
    codes, outputs = run_nodes(folder)
    assert codes == [0, 0], outputs
    undisturbed, _ = results(folder)
    for name, value in expected.items():
        torch.testing.assert_close(undisturbed[name], value, rtol=1e-3, atol=1e-3)
    for name in ("weights.safetensors", "c.safetensors"):
        (folder / name).unlink()
    codes, outputs = run_nodes(folder, deadly_epoch=2)
    assert all(codes)
    assert "another process of this training has ended" in outputs[0]
    codes, outputs = run_nodes(folder, how="resume")
    assert codes == [0, 0], outputs
    found, _ = results(folder)
    for name, value in undisturbed.items():
        assert torch.equal(found[name], value), name
