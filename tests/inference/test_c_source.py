"""The C file gives the network's answers, at every cut and in any chunks."""

import shutil
from dataclasses import replace

import numpy as np
import pytest
import torch
from export_toys import CELLS, POOLINGS, STRIDED, assert_same_logits, expected_of, make, prefixes_of

from seqbelt.data.batches import pad
from seqbelt.errors import SeqbeltError, SettingsError
from seqbelt.features.arrays.channels import Channels
from seqbelt.features.audio.audio import LogMel, Mfcc, Waveform
from seqbelt.features.text.text import Character
from seqbelt.inference import c_library
from seqbelt.inference.bundle import Bundle
from seqbelt.inference.bundle_weights import weights_of
from seqbelt.inference.c_library import FLAGS, CLibrary, compile_c
from seqbelt.inference.c_source import c_name, write_c
from seqbelt.models.ensemble import Ensemble
from seqbelt.models.stem import Stem
from seqbelt.workflow.export_check import RawNetwork

needs_compiler = pytest.mark.skipif(
    not any(map(shutil.which, c_library.COMPILERS)), reason="no C compiler on the PATH"
)


def library(bundle: Bundle, raw: bool = False, int8: bool = False) -> CLibrary:
    return CLibrary(write_c(bundle, "toy", raw, int8), "toy", len(bundle.classes))


def assert_exact_at_every_cut(bundle: Bundle) -> None:
    prefixes = prefixes_of(bundle)
    assert_same_logits(library(bundle)(*pad(prefixes)), expected_of(bundle, prefixes))


@needs_compiler
@pytest.mark.parametrize(
    ("cell", "pooling"),
    [*zip(["lstm"] * len(POOLINGS), POOLINGS), *((cell, "attention_max") for cell in CELLS)],
)
def test_every_cell_and_pooling(cell, pooling):
    assert_exact_at_every_cut(
        make(**CELLS[cell], bidirectional=False, pooling=pooling, num_layers=2)
    )


@needs_compiler
@pytest.mark.parametrize("cell", ["lstm", "none"])
@pytest.mark.parametrize("stem", [Stem(), STRIDED], ids=["plain", "strided"])
def test_stems_and_differences(cell, stem):
    assert_exact_at_every_cut(
        make(cell=cell, bidirectional=False, stem=stem, differences=True, pooling="concat")
    )


@needs_compiler
def test_tokens():
    texts = ["abc abd", "bcd"]
    assert_exact_at_every_cut(
        make(Character(kind="character", min_count=1), texts, bidirectional=False)
    )


@needs_compiler
def test_an_ensemble_and_a_crop():
    bundle, other = (
        make(bidirectional=False, max_steps=11, stem=STRIDED, seed=seed) for seed in (0, 1)
    )
    networks = [*bundle.network.networks, *other.network.networks]
    assert_exact_at_every_cut(replace(bundle, weights=weights_of(Ensemble(networks))))


SOUND = {"sample_rate": 8000, "window_ms": 20, "hop_ms": 10}
FEATURES = {
    "log_mel": LogMel(kind="log_mel", num_bands=16, **SOUND),
    "wide hop": LogMel(kind="log_mel", num_bands=8, sample_rate=8000, window_ms=5, hop_ms=9),
    "mfcc": Mfcc(kind="mfcc", num_bands=16, num_coefficients=9, **SOUND),
    "waveform": Waveform(kind="waveform", sample_rate=8000, window_ms=1, hop_ms=1),
    "channels": Channels(kind="channels", differences=True),
}


@needs_compiler
@pytest.mark.parametrize("name", FEATURES)
def test_features_in_the_file(name):
    features = FEATURES[name]
    rows = [np.random.default_rng(1).normal(size=(9, 2)).astype(np.float32)]
    bundle = make(features, rows if name == "channels" else [], bidirectional=False)
    if isinstance(features, LogMel):
        bundle.network.normalize.learn(
            torch.full((features.num_features,), -40.0), torch.tensor(10.0)
        )
    random = np.random.default_rng(0)
    width = 2 if name == "channels" else 1
    longest = 2000 if name != "channels" else 40
    signal = (0.1 * random.normal(size=(longest, width))).astype(np.float32)
    signal[longest // 2 :] *= 1e-3
    ends = (1, 2, 39, *(() if name == "channels" else (79, 80, 81, 160, 1999)))
    batch = pad([signal[:end] for end in ends])
    with torch.inference_mode():
        expected = RawNetwork(bundle)(*batch)
        found = library(bundle, raw=True)(*batch)
    torch.testing.assert_close(found, expected, atol=2e-5, rtol=1e-5)


@needs_compiler
def test_chunks_make_no_difference():
    model = library(make(FEATURES["log_mel"], bidirectional=False), raw=True)
    signal = np.random.default_rng(0).normal(size=3000).astype(np.float32)
    whole = model.read(signal, chunks=(3000,))
    for size in (1, 7, 50):
        np.testing.assert_array_equal(model.read(signal, chunks=(size,)), whole)


@needs_compiler
def test_int8_is_near_and_smaller():
    bundle = make(bidirectional=False, hidden_size=32)
    sequence = np.random.default_rng(0).normal(size=(30, bundle.num_features)).astype(np.float32)
    whole, rough = library(bundle), library(bundle, int8=True)
    difference = np.abs(rough.read(sequence) - whole.read(sequence)).max()
    assert 1e-5 < difference < 0.3
    assert "int8_t" in write_c(bundle, "toy", int8=True).source


@needs_compiler
def test_the_sanitizers_find_nothing(tmp_path):
    """Every helper runs: a strided stem, attention, an ensemble, a sound."""
    bundle = make(FEATURES["mfcc"], bidirectional=False, stem=STRIDED, num_layers=2)
    files = write_c(bundle, "toy", raw=True, int8=True)
    (tmp_path / "toy.h").write_text(files.header)
    (tmp_path / "toy.c").write_text(files.source)
    (tmp_path / "main.c").write_text(
        """\
#include <stdio.h>
#include "toy.h"
int main(void)
{
    static toy_state state;
    static float sound[1000];
    float probabilities[TOY_NUM_CLASSES];
    toy_init(&state);
    if (toy_finish(&state, probabilities) != -1) {
        return 1;
    }
    for (int i = 0; i < 1000; i++) {
        sound[i] = (float)(i % 13) / 13;
    }
    toy_init(&state);
    toy_step(&state, sound, 999);
    toy_step(&state, sound, 0);
    toy_step(&state, sound, 1000);
    printf("%s\\n", toy_classes[toy_finish(&state, probabilities)]);
    return 0;
}
"""
    )
    sanitizers = "-fsanitize=address,undefined"
    compile_c(
        [*FLAGS, sanitizers, "-fno-sanitize-recover", "-o", "main", "main.c", "toy.c", "-lm"],
        tmp_path,
    )
    done = c_library.subprocess.run([tmp_path / "main"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() in bundle.classes


@pytest.mark.parametrize(
    ("settings", "raw", "remedy"),
    [
        ({"bidirectional": True}, False, "bidirectional: false"),
        ({"bidirectional": False, "max_steps": 9, "crop": "tail"}, False, "crop: head"),
        ({"bidirectional": False, "features": LogMel(kind="log_mel", subtract_mean=True)}, True,
         "features.subtract_mean"),
    ],
)  # fmt: skip
def test_what_cannot_be_written_names_the_setting(settings, raw, remedy):
    with pytest.raises(SettingsError, match=remedy):
        write_c(make(**settings), "toy", raw)


def test_a_missing_compiler_is_said(monkeypatch):
    monkeypatch.setattr(c_library.shutil, "which", lambda name: None)
    with pytest.raises(SeqbeltError, match="needs a C compiler"):
        library(make(bidirectional=False))


@pytest.mark.parametrize(
    ("stem", "name"), [("Digits-8k", "digits_8k"), ("8k", "m_8k"), ("숫자", "m___")]
)
def test_names_fit_c(stem, name):
    assert c_name(stem) == name
