from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from seqbelt.data.sources.manifest import Manifest, make_manifest
from seqbelt.data.sources.splits import _join_rows, assign_splits, rows_of_folds
from seqbelt.errors import SettingsError

NAMES = ("train", "validation", "test")


def assign(manifest: Manifest, **settings) -> np.ndarray:
    defaults = {
        "validation_fraction": 0.1,
        "test_fraction": 0.2,
        "test_groups": (),
        "whole_groups": None,
        "seed": 0,
    }
    return assign_splits(manifest, **(defaults | settings)).column("split")


def rows(num_rows: int = 200, num_classes: int = 4, num_groups: int = 0, **columns) -> Manifest:
    random = np.random.default_rng(0)
    label = [str(n) for n in random.integers(0, num_classes, num_rows)]
    if num_groups:
        columns["group"] = [f"g{n}" for n in random.integers(0, num_groups, num_rows)]
    return make_manifest(label=label, **columns)


@given(
    labels=st.lists(st.sampled_from("abc"), min_size=20, max_size=80),
    validation=st.sampled_from([0.0, 0.1, 0.25, 0.5]),
    test=st.sampled_from([0.0, 0.1, 0.2, 0.5]),
    seed=st.integers(0, 9),
)
def test_parts_are_stratified_shares_and_no_class_leaves_training(labels, validation, test, seed):
    split = assign(
        make_manifest(label=labels),
        validation_fraction=validation,
        test_fraction=test,
        seed=seed,
    )
    label = np.array(labels)
    assert set(split) <= set(NAMES)
    assert ("test" in split) == (test > 0)
    assert ("validation" in split) == (validation > 0)
    for name in set(labels):
        parts = Counter(split[label == name])
        total = parts.total()
        assert parts["train"] > 0
        if test:
            assert abs(parts["test"] - test * total) <= 2
            taken = validation * (total - parts["test"])
        else:
            taken = validation * total
        assert abs(parts["validation"] - taken) <= 2


@pytest.mark.parametrize("num_rows", [10, 11, 37])
def test_every_class_with_enough_rows_is_in_every_part(num_rows):
    label = [name for name in "abc" for _ in range(num_rows)]
    split = assign(make_manifest(label=label), validation_fraction=0.25)
    for name in "abc":
        assert set(split[np.array(label) == name]) == set(NAMES)


@pytest.mark.parametrize("seed", range(5))
def test_a_classs_only_row_trains(seed):
    manifest = make_manifest(label=["a"] * 50 + ["rare"] + ["b"] * 50)
    assert assign(manifest, seed=seed)[50] == "train"


@given(
    groups=st.lists(st.integers(0, 12), min_size=40, max_size=120),
    seed=st.integers(0, 9),
)
def test_a_group_never_straddles_a_split_taken_here(groups, seed):
    if len(set(groups)) < 4:
        return
    group = [f"g{n}" for n in groups]
    manifest = make_manifest(label=["ab"[n % 2] for n in range(len(groups))], group=group)
    split = assign(manifest, seed=seed)
    assert set(split) == set(NAMES)
    for name in set(group):
        assert len(set(split[np.array(group) == name])) == 1


def test_rows_without_a_group_are_not_one_group():
    group = [""] * 60 + ["x"] * 20 + ["y"] * 20
    split = assign(make_manifest(label=["a", "b"] * 50, group=group))
    assert set(split[:60]) == set(NAMES)
    assert len(set(split[60:80])) == len(set(split[80:])) == 1
    assert 10 <= np.sum(split == "test") <= 40


def test_the_sources_own_split_is_kept():
    own = ["train", "train", "test", "validation"] * 25
    assert assign(rows(100, split=own)).tolist() == own


def test_a_missing_validation_is_taken_from_training_rows_only():
    own = np.array((["train"] * 3 + ["test"]) * 50)
    split = assign(rows(200, split=own.tolist()))
    np.testing.assert_array_equal(split == "test", own == "test")
    assert 10 <= np.sum(split == "validation") <= 20


def test_rows_without_a_split_train_beside_an_own_test():
    split = assign(rows(100, split=["", "test"] * 50), validation_fraction=0)
    assert split.tolist() == ["train", "test"] * 50


def test_groups_stay_whole_in_validation_unless_the_own_test_shares_them():
    def straddling(own: list[str]) -> set[str]:
        manifest = rows(200, num_groups=8, split=own)
        group, split = manifest.column("group"), assign(manifest)
        sides = {name: set(split[group == name]) for name in set(group)}
        return {name for name, found in sides.items() if {"train", "validation"} <= found}

    shared = ["train", "train", "train", "test"] * 50
    assert straddling(shared)
    group = rows(200, num_groups=8).column("group")
    apart = ["test" if name in ("g0", "g1") else "train" for name in group]
    assert not straddling(apart)


def test_whole_groups_can_be_asked_for_and_refused():
    manifest = rows(200, num_groups=8, split=["train", "train", "train", "test"] * 50)
    for whole in (True, False):
        split, group = assign(manifest, whole_groups=whole), manifest.column("group")
        mixed = [{"train", "validation"} <= set(split[group == name]) for name in set(group)]
        assert any(mixed) != whole


def test_test_groups_are_the_test_whatever_the_source_says():
    manifest = rows(200, num_groups=6, split=["train", "test"] * 100)
    split, group = assign(manifest, test_groups=("g1", "g4")), manifest.column("group")
    np.testing.assert_array_equal(split == "test", np.isin(group, ["g1", "g4"]))
    assert "validation" in split


def test_an_unknown_test_group_is_refused_with_the_known_ones():
    with pytest.raises(SettingsError, match=r"data\.test_groups.*ann.*g0, g1"):
        assign(rows(20, num_groups=2), test_groups=("ann",))


@pytest.mark.parametrize("group", [None, [f"g{n // 5}" for n in range(200)]])
def test_the_seed_alone_decides(group):
    splits = [assign(rows(group=group), seed=seed).tolist() for seed in (0, 0, 1)]
    assert splits[0] == splits[1]
    assert splits[0] != splits[2]


def test_the_manifest_given_is_not_changed():
    manifest = rows()
    assign(manifest)
    assert set(manifest.column("split")) == {""}


@pytest.mark.parametrize("group", [None, ["x"] * 4])
def test_too_little_to_split_is_refused_with_a_remedy(group):
    label = list("abcd") if group is None else ["a"] * 4
    with pytest.raises(SettingsError, match=r"data\.test_fraction"):
        assign(make_manifest(label=label, group=group))


def test_a_split_without_groups_takes_the_rows_that_it_always_took():
    """Recorded before parts were taken by group otherwise: stores on disk stay as they are."""
    manifest = make_manifest(label=["abcc"[(7 * n) % 4] for n in range(60)] + ["d"])
    taken = {name: np.flatnonzero(assign(manifest, seed=3) == name).tolist() for name in NAMES[1:]}
    assert taken == {
        "validation": [6, 40, 41, 44, 55],
        "test": [8, 9, 14, 16, 27, 31, 32, 33, 34, 38, 39, 50],
    }


def take_validation(sizes: list[int], labels: list[str] | None = None, seed: int = 0):
    """A tenth of groups of these sizes, whose rows are of ``labels`` or of two classes in turn."""
    group = [f"g{n:02}" for n, size in enumerate(sizes) for _ in range(size)]
    label = labels or ["ab"[n % 2] for n in range(len(group))]
    manifest = make_manifest(label=label, group=group)
    split = assign(manifest, test_fraction=0, validation_fraction=0.1, seed=seed)
    is_taken = split == "validation"
    return is_taken, set(np.array(group)[is_taken])


@pytest.mark.parametrize(
    ("sizes", "share", "num_groups"),
    [
        ([10] * 7, 1 / 7, 1),  # one of seven is nearer to a tenth than two
        ([5, 7, 12, 14, 20, 20, 22], 0.12, 2),  # 5 and 7 rather than the group of 12
        ([60, 10, 10, 10, 10], 0.1, 1),
        ([20] * 30, 0.1, 3),
        ([10] + [2] * 45, 0.1, 5),  # five small ones rather than the one of ten
    ],
)
@pytest.mark.parametrize("seed", range(4))
def test_groups_are_taken_near_the_asked_fraction_and_several_where_there_are(
    sizes, share, num_groups, seed
):
    is_taken, groups = take_validation(sizes, seed=seed)
    assert is_taken.mean() == pytest.approx(share)
    assert len(groups) == num_groups


@pytest.mark.parametrize("seed", range(4))
def test_a_class_that_few_groups_have_is_on_both_sides(seed):
    """Class x is in 2 of 40 groups, and one of them is taken; its only group would not be."""
    labels = ["ab"[n % 2] for n in range(800)]
    labels[60], labels[340] = "x", "x"  # in g03 and g17
    labels[400:405] = ["only"] * 5  # in g20
    is_taken, groups = take_validation([20] * 40, labels, seed)
    assert len(groups & {"g03", "g17"}) == 1 and "g20" not in groups
    assert is_taken.mean() == pytest.approx(0.1)


@pytest.mark.parametrize("seed", range(4))
def test_classes_are_completed_up_to_twice_the_fraction(seed):
    """Every group is of one class: of two classes both are taken, of ten not."""
    two = ["ab"[n // 10 % 2] for n in range(100)]
    is_taken, groups = take_validation([10] * 10, two, seed)
    assert set(np.array(two)[is_taken]) == {"a", "b"} and len(groups) == 2
    ten = [str(n // 30) for n in range(300)]
    is_taken, groups = take_validation([10] * 30, ten, seed)
    assert len(groups) == 3 and len(set(np.array(ten)[~is_taken])) == 10


@pytest.mark.parametrize(("num_groups", "num_taken"), [(2, 0), (6, 0), (7, 1), (20, 2)])
def test_all_rows_train_where_whole_groups_would_miss_in_training(num_groups, num_taken):
    """One of six speakers is far more than a tenth of all that is known of speakers."""
    group = [f"g{n % num_groups:02}" for n in range(840)]
    manifest = make_manifest(label=["ab"[n // num_groups % 2] for n in range(840)], group=group)
    split = assign(manifest, test_fraction=0, validation_fraction="auto")
    assert len(set(np.array(group)[split == "validation"])) == num_taken


def test_the_order_of_the_rows_decides_nothing():
    manifest = rows(300, num_groups=25)
    order = np.random.default_rng(1).permutation(300)
    columns = {name: manifest.column(name)[order].tolist() for name in ("label", "group")}
    np.testing.assert_array_equal(assign(manifest)[order], assign(make_manifest(**columns)))


def test_the_manifest_keeps_what_was_asked_and_only_of_parts_taken_here():
    def asked(manifest):
        return assign_splits(
            manifest, validation_fraction=0.1, test_fraction=0.2, test_groups=(),
            whole_groups=None, seed=0,
        ).asked  # fmt: skip

    assert asked(rows()) == {"test": 0.2, "validation": 0.1}
    assert asked(rows(split=["train", "test"] * 100)) == {"validation": 0.1}
    assert asked(rows(split=["train", "test", "validation", "train"] * 50)) == {}


def crossing(split: np.ndarray, content: np.ndarray) -> int:
    """Contents that are in more than one part."""
    return sum(len(set(split[content == code])) > 1 for code in set(content.tolist()))


@given(
    contents=st.lists(st.integers(0, 25), min_size=40, max_size=90),
    seed=st.integers(0, 9),
)
def test_rows_of_one_content_stay_on_one_side(contents, seed):
    content = np.array(contents)
    manifest = make_manifest(label=["ab"[n % 2] for n in content])
    split = assign(manifest, seed=seed, content=content)
    assert crossing(split, content) == 0
    assert {"a", "b"} & set(manifest.column("label")) == set(
        manifest.column("label")[split == "train"]
    )


def test_rows_of_one_content_are_joined_without_comparing_each_pair():
    compared = [0]

    class Label(str):
        __hash__ = str.__hash__

        def __eq__(self, other):
            compared[0] += 1
            return str.__eq__(self, other)

    num_rows = 1000
    label = np.array([Label("ab"[row % 2]) for row in range(num_rows)], dtype=object)
    split = np.array(["train", "train", "train", "test"] * (num_rows // 4), dtype=object)
    joined = _join_rows(split, label, np.arange(num_rows) // 4)
    assert set(joined) == {"train"} and compared[0] < 20 * num_rows


@pytest.mark.parametrize("num_groups", [0, 12])
def test_without_equal_content_the_same_rows_are_taken(num_groups):
    manifest = rows(200, num_groups=num_groups)
    split = assign(manifest)
    np.testing.assert_array_equal(assign(manifest, content=np.arange(200)), split)
    if not num_groups:
        inside = np.arange(200)  # equal rows of one part are no reason either
        inside[np.flatnonzero(split == "test")[:2]] = 999
        np.testing.assert_array_equal(assign(manifest, content=inside), split)


def test_a_class_of_one_content_trains():
    content = np.arange(60)
    content[[3, 40]] = 3
    label = ["rare" if row in (3, 40) else "ab"[row % 2] for row in range(60)]
    for seed in range(5):
        split = assign(make_manifest(label=label), seed=seed, content=content)
        assert set(split[[3, 40]]) == {"train"}


def test_groups_that_share_content_stay_on_one_side():
    group = [f"g{row // 10}" for row in range(200)]
    content = np.arange(200)
    content[[5, 65, 125]] = 5  # g0, g6 and g12
    manifest = make_manifest(label=["a", "b"] * 100, group=group)
    for seed in range(8):
        split = assign(manifest, seed=seed, content=content)
        assert len({split[5], split[65], split[125]}) == 1
        assert all(len(set(split[n : n + 10])) == 1 for n in range(0, 200, 10))
    content[::10] = 999  # all groups have it: they cannot be kept together
    assert set(assign(manifest, content=content)) == set(NAMES)


@pytest.mark.parametrize("num_groups", [0, 12])
def test_every_row_is_tested_once_and_one_content_in_one_fold(num_groups):
    manifest, content = rows(120, num_groups=num_groups), np.arange(120)
    group = manifest.column("group")
    others = [n for n in range(120) if num_groups == 0 or group[n] in ("g1", "g2")]
    content[others[:9]] = others[0]
    before = rows_of_folds(manifest, 4, None, 0)
    fold = {}
    for number, tested in enumerate(rows_of_folds(manifest, 4, None, 0, content)):
        fold |= dict.fromkeys(tested.tolist(), number)
    assert sorted(fold) == [*range(120)]
    assert len({fold[n] for n in others[:9]}) == 1
    same = rows_of_folds(manifest, 4, None, 0, np.arange(120))
    for one, other in zip(before, same, strict=True):
        np.testing.assert_array_equal(one, other)
