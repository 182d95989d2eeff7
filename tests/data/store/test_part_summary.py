"""What was taken and what is missing is said in the numbers of the data."""

import numpy as np
import pytest
from toys import Ready

from seqbelt.data.sources.manifest import make_manifest
from seqbelt.data.sources.splits import assign_splits
from seqbelt.data.store.part_summary import summarize_parts
from seqbelt.data.store.preparation import prepare


def summary(folder, validation_fraction=0.1, **columns) -> list[str]:
    count = len(columns["label"])
    arrays = [np.full((3, 1), n, np.float32) for n in range(count)]
    manifest = assign_splits(
        make_manifest(**columns, contents=arrays), validation_fraction=validation_fraction,
        test_fraction=0.2, test_groups=(), whole_groups=None, seed=0,
    )  # fmt: skip
    return summarize_parts(prepare(manifest, Ready(width=1), folder, {}).store, manifest)


def test_without_groups_the_rows_are_counted(tmp_path):
    assert summary(tmp_path, label=["a", "b"] * 50) == ["72 train, 8 validation, 20 test"]


def test_of_groups_it_says_what_was_asked_and_what_was_taken(tmp_path):
    group = [f"g{n // 10}" for n in range(70)]
    assert summary(tmp_path, label=["a", "b"] * 35, group=group) == [
        "50 train in 5 groups, 10 validation in 1 group, 10 test in 1 group",
        "test: asked 20 %, took 14.3 % (1 of 7 groups)",
        "validation: asked 10 %, took 16.7 % (1 of 6 groups)",
    ]


@pytest.mark.parametrize(
    ("num_rows", "num_groups", "reason"),
    [
        (40, 10, "a tenth of 32 rows is fewer than 30"),
        (500, 5, "one of 4 groups is more than 15 %"),
        (800, 2, "all rows are of one group"),
    ],
)
def test_without_a_validation_part_it_says_why(tmp_path, num_rows, num_groups, reason):
    group = [f"g{n % num_groups}" for n in range(num_rows)]
    label = ["ab"[n // num_groups % 2] for n in range(num_rows)]
    lines = summary(tmp_path, "auto", label=label, group=group)
    assert f"validation: none taken, since {reason}; set data.validation_fraction" in lines[-1]


def test_a_class_that_a_part_lacks_is_named(tmp_path):
    split = ["train"] * 8 + ["validation"] * 2 + ["test"] * 4
    label = [*"aabbccdd", *"ae", *"abcd"]
    lines = summary(tmp_path, label=label, split=split)
    assert lines[0] == "8 train, 2 validation, 4 test"
    assert [line.partition(":")[0] for line in lines[1:]] == [
        "the train part has no row of class 'e'",
        "the validation part has no row of classes 'b', 'c', 'd'",
        "the test part has no row of class 'e'",
    ]
    assert "data.split_seed" in lines[1] and "data.validation_fraction" in lines[2]


def test_of_many_missing_classes_some_are_named(tmp_path):
    label = [*"abcdefgh", "a", "a"]
    (_, line, *_) = summary(tmp_path, label=label, split=["train"] * 8 + ["validation", "test"])
    assert "'b', 'c', 'd', 'e', 'f' and 2 more" in line
