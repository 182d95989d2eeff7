"""Signals and ready features: orientation, selection, missing values, resampling, width."""

import io
import json

import numpy as np
import pytest

from seqbelt.errors import BadInput, SettingsError
from seqbelt.features.arrays.channels import Channels
from seqbelt.features.arrays.vectors import Vectors

NAN = np.nan


def channels(**settings) -> Channels:
    return Channels.parse({"kind": "channels", **settings})


def vectors(**settings) -> Vectors:
    return Vectors.parse({"kind": "vectors", **settings})


def encode(settings, *sources) -> list[np.ndarray]:
    """Learn from and encode the same sources."""
    raws = [settings.read(source) for source in sources]
    encoder = settings.encoder(settings.learn(raws))
    encoded = encoder.encode(raws)
    assert all(item.shape[1] == encoder.num_features for item in encoded)
    assert all(item.dtype == np.float32 and item.flags.c_contiguous for item in encoded)
    return encoded


def reason_of(settings, source) -> str:
    with pytest.raises(BadInput) as caught:
        encode(settings, source)
    return caught.value.reason


def random(*shape, seed=0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=shape)


class TestChannels:
    def test_rows_are_steps_unless_said_otherwise(self):
        values = random(5, 3)
        (rows,) = encode(channels(), values)
        (columns,) = encode(channels(time_axis=1), values.T)
        (single,) = encode(channels(), values[:, 0])
        np.testing.assert_allclose(rows, values, rtol=1e-6)
        np.testing.assert_array_equal(rows, columns)
        np.testing.assert_array_equal(single, rows[:, :1])

    def test_the_rows_of_a_table_are_steps_along_either_axis(self):
        (encoded,) = encode(channels(time_axis=1), b"a,b\n1,2\n3,4\n5,6\n")
        assert encoded.shape == (3, 2)

    @pytest.mark.parametrize("chosen", [["z", "x"], [3, 1], ["z", 1]])
    def test_channels_are_chosen_by_name_or_index_in_the_given_order(self, chosen):
        table = b"word,x,y,z\na,1,2,3\nb,4,5,6\n"
        (encoded,) = encode(channels(channels=chosen), table)
        np.testing.assert_array_equal(encoded, [[3, 1], [6, 4]])

    def test_a_channel_that_is_not_there_or_not_a_number(self):
        table = b"word,x\na,1\nb,2\n"
        said = r"column 'word' holds 'a' in line 2, not a number.*features\.channels"
        with pytest.raises(BadInput, match=said):
            encode(channels(), table)
        with pytest.raises(BadInput, match="no channel 'y'; found: word, x"):
            channels(channels=["y"]).read(table)
        assert reason_of(channels(channels=["y"]), random(3, 2)) == "wrong shape"
        assert reason_of(channels(channels=[2]), random(3, 2)) == "wrong shape"

    @pytest.mark.parametrize("shape", [(3, 40), (1, 40), (30, 64)])
    def test_an_array_of_fewer_steps_than_channels_is_said(self, shape, tmp_path):
        settings = channels()
        np.save(tmp_path / "a.npy", random(*shape))
        raw = settings.read(tmp_path / "a.npy")
        encoder = settings.encoder(settings.learn([raw]))
        (said,) = settings.remarks(raw, encoder)
        assert f"channels, which are {shape[1]} (features.time_axis: 1 turns them" in said
        turned = channels(time_axis=1).read(tmp_path / "a.npy")
        assert turned.values.shape == shape[::-1] and not turned.notes

    def test_other_ranks_are_refused(self):
        assert reason_of(channels(), random(2, 3, 4)) == "wrong shape"
        assert reason_of(channels(), np.array(1.0)) == "wrong shape"

    def test_missing_values_are_an_error_that_says_where(self):
        said = r"1 values .* line 4 \(step 2\), channel 'b'; features\.missing"
        with pytest.raises(BadInput, match=said):
            encode(channels(), b"a,b\n1,2\n3,4\n5,\n")
        for missing in ("error", "interpolate", "hold", "mask"):
            assert reason_of(channels(missing=missing), np.array([1, np.inf])) == "not finite"

    def test_gaps_are_filled_linearly_and_ends_held(self):
        gaps = np.array([[NAN, 1], [2, 1], [NAN, NAN], [NAN, 1], [8, NAN]])
        expected = [[2, 1], [2, 1], [4, 1], [6, 1], [8, 1]]
        (filled,) = encode(channels(missing="interpolate"), gaps)
        np.testing.assert_allclose(filled, expected)
        (masked,) = encode(channels(missing="mask"), gaps)
        np.testing.assert_allclose(masked, np.hstack([expected, np.isnan(gaps)]))

    def test_held_gaps_repeat_the_last_value_and_begin_with_the_training_mean(self):
        features = channels(missing="hold")
        training = [np.array([[1.0, NAN], [NAN, 4.0]]), np.array([[3.0, 8.0]])]
        encoder = features.encoder(features.learn(map(features.read, training)))
        gaps = np.array([[NAN, 1], [7, NAN], [NAN, NAN], [NAN, 3]])
        (held,) = encoder.encode([features.read(gaps)])
        np.testing.assert_allclose(held, [[2, 1], [7, 1], [7, 1], [7, 3]])
        dead = features.read(np.array([[NAN, 1], [NAN, 2]]))
        assert any("without any value" in said for said in features.remarks(dead, encoder))
        np.testing.assert_allclose(encoder.encode([dead])[0], [[2, 1], [2, 2]])

    def test_a_channel_without_any_value(self):
        nothing = np.array([[1, NAN], [2, NAN]])
        assert reason_of(channels(missing="interpolate"), nothing) == "not finite"
        (masked,) = encode(channels(missing="mask", standardize="sequence"), nothing)
        np.testing.assert_allclose(masked, [[-1, 0, 0, 1], [1, 0, 0, 1]])

    def test_a_sine_below_both_limits_survives_resampling(self):
        def sine(rate):
            return np.sin(2 * np.pi * 3 * np.arange(4 * rate) / rate) + 50

        for rate, other in ((100, 40), (40, 100), (50, 50)):
            settings = channels(sample_rate=rate, resample_rate=other)
            (resampled,) = encode(settings, sine(rate))
            assert resampled.shape == (4 * other, 1)
            assert settings.step_s() == 1 / other
            inner = slice(other // 2, -other // 2)  # the filter sees the ends
            np.testing.assert_allclose(resampled[inner, 0], sine(other)[inner], atol=0.02)

    def test_resampling_removes_what_the_lower_rate_cannot_carry(self):
        fast = np.sin(2 * np.pi * 45 * np.arange(400) / 100)
        (resampled,) = encode(channels(sample_rate=100, resample_rate=20), fast)
        assert np.abs(resampled[5:-5]).max() < 0.02

    def test_the_mask_is_resampled_with_its_signal(self):
        values = np.ones(40)
        values[20:] = NAN
        settings = channels(missing="mask", sample_rate=20, resample_rate=10)
        (encoded,) = encode(settings, values)
        np.testing.assert_array_equal(encoded[:, 1], [0] * 10 + [1] * 10)

    def test_a_rate_to_resample_to_needs_the_rate_of_the_files(self):
        with pytest.raises(SettingsError, match="needs source_rate_hz"):
            channels(resample_rate=10)
        assert channels().step_s() is None

    def test_standardised_sequences_and_a_constant_channel(self):
        values = np.hstack([random(50, 2) * 7 + 1e4, np.full((50, 1), 0.1)])
        (encoded,) = encode(channels(standardize="sequence"), values)
        np.testing.assert_allclose(encoded.mean(axis=0), 0, atol=1e-5)
        np.testing.assert_allclose(encoded.std(axis=0), [1, 1, 0], atol=1e-5)

    def test_differences_follow_the_channels(self):
        (encoded,) = encode(channels(differences=True), np.array([[1, 10], [3, 10], [6, 0]]))
        np.testing.assert_allclose(encoded[:, 2:], [[0, 0], [2, 0], [3, -10]])

    def test_every_option_together_keeps_the_width(self):
        settings = channels(
            missing="mask", differences=True, standardize="sequence", sample_rate=8, resample_rate=4
        )
        (encoded,) = encode(settings, random(17, 3))
        assert encoded.shape == (9, 9)

    def test_too_many_steps(self):
        assert reason_of(channels(max_steps=4), random(5, 2)) == "too long"
        assert reason_of(channels(max_size_mb=1e-5), random(5, 2)) == "too long"
        assert reason_of(channels(), np.zeros((0, 2))) == "empty"


class TestWidth:
    def test_a_later_file_of_another_width_is_refused(self):
        settings = channels()
        raws = [settings.read(random(n, 3)) for n in (4, 5, 6)] + [settings.read(random(9, 7))]
        encoder = settings.encoder(settings.learn(raws))
        assert encoder.num_features == 3  # what most training rows have
        with pytest.raises(
            BadInput, match=r"expected 3 values.*found 7 values.*time_axis"
        ) as caught:
            encoder.encode(raws[-1:])
        assert caught.value.reason == "wrong shape"

    def test_columns_are_found_by_name(self):
        settings = channels()
        encoder = settings.encoder(settings.learn([settings.read(b"a,b\n1,2\n")]))
        for table in (b"b,a\n1,2\n", b"c,b,d,a\n,1,word,2\n"):
            raw = settings.read(table)
            np.testing.assert_array_equal(encoder.encode([raw])[0], [[2, 1]])
            assert "another order" in " ".join(settings.remarks(raw, encoder))
        assert "column 'd' is none of the training rows': ignored" in encoder.remarks(raw)
        with pytest.raises(BadInput, match="no column 'a'; found b, c; the training rows had a, b"):
            encoder.encode([settings.read(b"b,c\n1,2\n")])
        with pytest.raises(BadInput, match="column 'a' holds 'x' in line 2"):
            encoder.encode([settings.read(b"a,b\nx,2\n")])

    def test_a_model_without_names_goes_by_position(self):
        settings = channels()
        encoder = settings.encoder(settings.learn_shape((2,)))
        np.testing.assert_array_equal(encoder.encode([settings.read(b"b,a\n1,2\n")])[0], [[1, 2]])
        # Trained when a column of times still was a channel.
        for learned in (settings.learn_shape((3,)), settings.learn_shape((3,), ("time", "x", "y"))):
            encoder = settings.encoder(learned)
            raw = settings.read(b"time,x,y\n0,1,2\n1,3,4\n")
            np.testing.assert_array_equal(encoder.encode([raw])[0], [[0, 1, 2], [1, 3, 4]])

    def test_channels_are_chosen_by_name(self):
        named = channels(channels=["a", "b"])
        encoder = named.encoder(named.learn([named.read(b"a,b\n1,2\n")]))
        np.testing.assert_array_equal(encoder.encode([named.read(b"b,a\n1,2\n")])[0], [[2, 1]])

    def test_what_is_learned_is_readable_json(self):
        settings = channels()
        learned = settings.learn([settings.read(b"a,b\n1,2\n")])
        assert json.loads(learned["features.json"]) == {"step_shape": [2], "names": ["a", "b"]}
        with pytest.raises(BadInput):
            settings.learn([])


class TestVectors:
    def test_axes_are_named_and_flattened_in_their_order(self):
        values = random(2, 5, 3, 4)
        (encoded,) = encode(vectors(layout="people steps joints coordinates"), values)
        assert encoded.shape == (5, 24)
        np.testing.assert_allclose(encoded[1], values[:, 1].reshape(-1), rtol=1e-6)
        (plain,) = encode(vectors(), values[0, :, 0])
        np.testing.assert_allclose(plain, values[0, :, 0], rtol=1e-6)
        (single,) = encode(vectors(layout="steps"), values[0, :, 0, 0])
        assert single.shape == (5, 1)

    @pytest.mark.parametrize("layout", ["features", "steps steps", ""])
    def test_a_layout_names_every_axis_once_and_steps(self, layout):
        with pytest.raises(SettingsError, match="one of them steps"):
            vectors(layout=layout)

    def test_wrong_rank_not_finite_and_words(self):
        assert reason_of(vectors(), random(3, 4, 5)) == "wrong shape"
        assert reason_of(vectors(), np.array([[1, NAN]])) == "not finite"
        assert reason_of(vectors(), b"a,b\n1,x\n") == "wrong type"

    def test_the_key_is_passed_on(self):
        file = io.BytesIO()
        np.savez(file, x=random(4, 2), y=random(6, 2))
        (encoded,) = encode(vectors(key="y"), file.getvalue())
        assert encoded.shape == (6, 2)


def test_only_a_file_leaves_open_which_axis_is_time():
    """An array from a .ts file, which states its axes, has no remark about them."""
    assert channels().read(random(3, 40)).notes == ()


def test_a_first_column_of_times_in_an_array_is_said(tmp_path):
    np.save(tmp_path / "a.npy", np.column_stack([np.arange(50) / 10, random(50)]))
    assert channels().read(tmp_path / "a.npy").notes == (
        "channel 0 rises evenly, as times do, and is one (features.channels)",
    )
    assert channels(channels=(0, 1)).read(tmp_path / "a.npy").notes == ()
    np.save(tmp_path / "b.npy", np.column_stack([np.arange(50) ** 2, random(50)]))
    assert "channel 0 rises throughout" in channels().read(tmp_path / "b.npy").notes[0]
    np.save(tmp_path / "c.npy", np.array([[5, 1], [3, 2]] * 5, np.uint8))
    assert channels().read(tmp_path / "c.npy").notes == ()


@pytest.mark.filterwarnings("error")
def test_infinity_in_half_precision_is_refused(tmp_path):
    np.save(tmp_path / "a.npy", np.array([[1, np.inf], [2, 3]], np.float16))
    with pytest.raises(BadInput, match=r"first in step 0, channel 1"):
        channels().read(tmp_path / "a.npy")
