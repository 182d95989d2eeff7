"""Video: sampling in time, turning, broken clips, and the two kinds of frame features.

Clips are made here: each frame has one brightness, so that a decoded frame tells its number.
"""

import io
import json
import pickle
import tarfile
import wave
from fractions import Fraction
from pathlib import Path
from typing import Any
from urllib.error import URLError

import av
import numpy as np
import pytest
import torch

from seqbelt.errors import BadInput, SeqbeltError, SettingsError
from seqbelt.features.video.descriptors import BLOCK_FRAMES, import_torchvision
from seqbelt.features.video.video import FrameDifferences, Frames
from seqbelt.features.video.video_decoding import FrameFormat, decode_video

GREY = FrameFormat(16, 12, is_grey=True)
NUMBERED = np.stack([np.full((48, 64), 8 * i, np.uint8) for i in range(24)])
FORMATS = {  # name: container, codec, pixels
    "avi": ("avi", "mpeg4", "yuv420p"),
    "mp4": ("mp4", "libx264", "yuv420p"),
    "mkv": ("matroska", "ffv1", "gray"),
    "webm": ("webm", "libvpx", "yuv420p"),
    "gif": ("gif", "gif", "gray"),
}


def make_clip(frames, name="mkv", rate=24, times=None, rotation=None, b_frames=0) -> bytes:
    """A clip of grey frames; ``times`` in seconds make its frame rate variable."""
    container_format, codec, pixels = FORMATS[name]
    file = io.BytesIO()
    with av.open(file, "w", format=container_format) as container:
        stream: Any = container.add_stream(codec, rate=rate)
        stream.height, stream.width = frames.shape[1:]
        stream.pix_fmt = pixels
        stream.codec_context.max_b_frames = b_frames
        if times is not None:
            stream.codec_context.time_base = Fraction(1, 1000)
        if rotation is not None:
            stream.set_display_rotation(rotation)
        for index, image in enumerate(frames):
            frame = av.VideoFrame.from_ndarray(image, "gray").reformat(format=pixels)
            if times is not None:
                frame.pts, frame.time_base = round(times[index] * 1000), Fraction(1, 1000)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return file.getvalue()


def decode(source, frame_rate=None, frame_format=GREY, max_duration_s=60.0) -> np.ndarray:
    return np.stack(list(decode_video(source, frame_format, frame_rate, max_duration_s)))


def numbers(source, frame_rate=None) -> list[int]:
    """Which of the ``NUMBERED`` frames a decoded clip consists of."""
    return np.rint(decode(source, frame_rate).mean(axis=(1, 2)) / 8).astype(int).tolist()


def reason_of(source, max_duration_s=60.0) -> str:
    with pytest.raises(BadInput) as caught:
        decode(source, max_duration_s=max_duration_s)
    return caught.value.reason


class TestDecoding:
    @pytest.mark.parametrize("name", FORMATS)
    def test_every_container_gives_its_frames_at_the_wanted_size(self, name, tmp_path: Path):
        content = make_clip(NUMBERED, name)
        path = tmp_path / "clip.without_a_known_ending"
        path.write_bytes(content)
        assert decode(path).shape == (24, 12, 16)
        assert numbers(content) == list(range(24))

    def test_colours_come_as_red_green_blue(self):
        red = np.zeros((2, 8, 8, 3), np.uint8)
        red[..., 0] = 200
        decoded = decode(red, frame_format=FrameFormat(4, 4, is_grey=False))
        assert decoded.shape == (2, 4, 4, 3)
        np.testing.assert_allclose(decoded[0, 0, 0], [200, 0, 0], atol=2)

    @pytest.mark.parametrize("name", FORMATS)
    def test_half_the_rate_is_every_other_frame(self, name):
        # Most containers round times to milliseconds, GIF to hundredths.
        assert numbers(make_clip(NUMBERED, name, rate=20), 10) == list(range(0, 24, 2))

    @pytest.mark.parametrize("name", ["avi", "mp4"])
    def test_frames_that_are_stored_out_of_order(self, name):
        clip = make_clip(NUMBERED, name, rate=20, b_frames=2)
        in_order = numbers(clip)  # not quite range(24): such frames are coarse
        assert len(set(in_order)) > 15 and in_order == sorted(in_order)
        assert numbers(clip, 20) == in_order
        assert numbers(clip, 10) == in_order[::2]

    def test_an_avi_whose_times_go_astray(self, real_data):
        with tarfile.open(real_data("ut_interaction/ut_interaction_set1.tar.gz")) as archive:
            clip = archive.extractfile("clips/0_1_4.avi").read()  # type: ignore[union-attr]
        np.testing.assert_array_equal(decode(clip, 30), decode(clip))

    def test_steps_are_even_in_time_where_frames_are_not(self):
        times = [0, 0.1, 0.12, 0.14, 0.16, 0.2, 0.5, 0.6]
        clip = make_clip(NUMBERED[:8], times=times)
        assert numbers(clip, 10) == [0, 1, 5, 5, 6, 6, 7]
        assert numbers(clip) == list(range(8))

    def test_a_rate_above_the_clips_repeats_frames(self):
        assert numbers(make_clip(NUMBERED[:3], rate=5), 10) == [0, 1, 1, 2, 2][:5]

    @pytest.mark.parametrize("rotation", [0, 90, 180, -90])
    def test_frames_are_turned_upright(self, rotation):
        upright = np.zeros((48, 32), np.uint8)
        upright[:16, :8] = 240  # a mark at the top left
        stored = np.rot90(upright, -rotation // 90)
        clip = make_clip(np.stack([stored] * 3), "mp4", rotation=rotation)
        decoded = decode(clip, frame_format=FrameFormat(32, 48, is_grey=True))
        np.testing.assert_allclose(decoded[0], upright, atol=30)

    def test_an_array_of_frames_is_taken_as_it_is(self):
        assert numbers(NUMBERED, 10) == list(range(24))
        for wrong in (NUMBERED[0], NUMBERED[..., None], NUMBERED.astype(float), NUMBERED[:0]):
            assert reason_of(wrong) in ("wrong shape", "wrong type", "empty")

    def test_one_frame_is_a_clip(self):
        assert numbers(make_clip(NUMBERED[3:4]), 10) == [3]


class TestBrokenClips:
    @pytest.mark.parametrize("name", ["avi", "mp4", "mkv"])
    @pytest.mark.parametrize("share", [0.3, 0.7])
    def test_truncated(self, name, share):
        noise = np.random.default_rng(0).integers(0, 255, (24, 48, 64)).astype(np.uint8)
        clip = make_clip(noise, name)
        assert len(decode(clip)) == 24
        assert reason_of(clip[: int(share * len(clip))]) == "truncated"

    def test_an_mp4_with_its_index_in_front_and_its_end_missing(self, tmp_path: Path):
        noise = np.random.default_rng(0).integers(0, 255, (24, 48, 64)).astype(np.uint8)
        path = tmp_path / "clip.mp4"
        path.write_bytes(make_clip(noise, "mp4"))
        with av.open(path) as slow, av.open(
            tmp_path / "fast.mp4", "w", options={"movflags": "faststart"}
        ) as fast:  # fmt: skip
            stream = fast.add_stream_from_template(slow.streams.video[0])
            for packet in slow.demux(video=0):
                if packet.dts is not None:
                    packet.stream = stream
                    fast.mux(packet)
        clip = (tmp_path / "fast.mp4").read_bytes()
        assert len(decode(clip)) == 24
        assert reason_of(clip[: int(0.6 * len(clip))]) == "truncated"

    def test_no_frames(self):
        frame_after_frame = make_clip(NUMBERED[:1], "mkv")
        header = frame_after_frame[: frame_after_frame.index(b"\x1f\x43\xb6\x75")]  # first cluster
        assert reason_of(header) in ("empty", "truncated")

    def test_audio_only(self):
        file = io.BytesIO()
        with wave.open(file, "wb") as audio:
            audio.setparams((1, 2, 8000, 0, "NONE", ""))
            audio.writeframes(bytes(16000))
        assert reason_of(file.getvalue()) == "wrong type"

    @pytest.mark.parametrize(
        "content",
        [b"a note\n" * 99, b"\x89PNG\r\n", b"PK\x03\x04" + bytes(99)],
        ids=["text", "png", "zip"],
    )
    def test_not_a_video_whatever_it_is_called(self, content, tmp_path: Path):
        path = tmp_path / "clip.mp4"
        path.write_bytes(content)
        assert reason_of(path) == "wrong type"

    def test_a_playlist_opens_no_other_file(self, tmp_path: Path):
        other = tmp_path / "other.mkv"
        other.write_bytes(make_clip(NUMBERED))
        playlists = [
            f"#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\n{other}\n#EXT-X-ENDLIST\n",
            "ffconcat version 1.0\nfile 'other.mkv'\n",
        ]
        for playlist in playlists:
            path = tmp_path / "clip.mp4"
            path.write_text(playlist)
            assert reason_of(path) == "wrong type"

    def test_nothing_and_nowhere(self, tmp_path: Path):
        assert reason_of(b"") == "empty"
        assert reason_of(tmp_path / "absent.mp4") == "unreadable"
        assert reason_of(tmp_path) == "unreadable"

    def test_too_long(self):
        assert reason_of(make_clip(NUMBERED), max_duration_s=0.9) == "too long"
        jump = make_clip(NUMBERED[:2], times=[0, 1e6])
        assert reason_of(jump) == "too long"


def differences(**settings) -> FrameDifferences:
    return FrameDifferences.parse({"kind": "frame_differences", **settings})


def moving_edge(axis: int, num_frames: int = 12) -> np.ndarray:
    frames = np.zeros((num_frames, 48, 64), np.uint8)
    for index, frame in enumerate(frames):
        np.moveaxis(frame, axis, 0)[: 6 + 2 * index] = 200
    return frames


class TestFrameDifferences:
    def test_a_still_clip_is_zero(self):
        features = differences()
        steps = features.read(np.stack([moving_edge(0)[5]] * 4)).steps
        assert steps.shape == (4, features.num_features) and steps.dtype == np.float32
        np.testing.assert_array_equal(steps, 0)

    @pytest.mark.parametrize(("axis", "orientation"), [(1, 0), (0, 4)])
    def test_the_orientation_of_a_moving_edge(self, axis, orientation):
        histogram = differences().read(moving_edge(axis)).steps[1:].reshape(-1, 8)
        assert histogram[:, orientation].sum() > 0
        others = np.delete(histogram, orientation, axis=1)
        assert others.sum() < 0.01 * histogram.sum()

    def test_motion_is_seen_in_the_cell_where_it_is(self):
        frames = np.zeros((2, 48, 64), np.uint8)
        frames[1, 34:38, 50:54] = 255  # row 4, column 6 of 6 x 8 cells of 8 pixels
        energy = differences().read(frames).steps[1].reshape(6, 8, 8).sum(axis=2)
        assert np.argwhere(energy).tolist() == [[4, 6]]

    def test_blocks_do_not_show(self):
        rng = np.random.default_rng(0)
        frames = rng.integers(0, 255, (2 * BLOCK_FRAMES + 5, 48, 64)).astype(np.uint8)
        whole = differences().read(frames).steps
        for start in (BLOCK_FRAMES - 1, BLOCK_FRAMES, 2 * BLOCK_FRAMES - 1):
            pair = differences().read(frames[start : start + 2]).steps
            np.testing.assert_allclose(whole[start + 1], pair[1], rtol=1e-6)

    def test_a_file_gives_nearly_what_its_frames_give(self):
        frames = moving_edge(1)
        features = differences(frame_rate=10)
        from_file = features.read(make_clip(frames, "mkv", rate=10)).steps
        np.testing.assert_allclose(from_file, features.read(frames).steps, atol=1e-5)
        assert features.step_s() == 0.1 and differences(frame_rate=None).step_s() is None

    def test_settings_set_the_width(self):
        features = differences(rows=2, columns=3, cell_pixels=4, num_orientations=5)
        assert features.num_features == 30
        assert features.encoder({}).encode([features.read(NUMBERED)])[0].shape == (24, 30)


class Trap:
    """Writes a file as soon as somebody unpickles it."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


@pytest.fixture(scope="module")
def network():
    """Random, but with values of the size that trained networks have."""
    try:
        torchvision = import_torchvision()
    except (SeqbeltError, RuntimeError, ImportError) as error:
        pytest.skip(f"torchvision cannot be imported here: {error}")
    torch.manual_seed(0)
    network = torchvision.models.mobilenet_v3_small(weights=None).eval()
    for part in network.modules():
        if isinstance(part, torch.nn.Conv2d | torch.nn.Linear):
            torch.nn.init.kaiming_normal_(part.weight)
    return network


@pytest.fixture(scope="module")
def weights(network, tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("weights") / "mobilenet.pth"
    torch.save(network.state_dict(), path)
    return path


def frames_features(weights: Path | str, **settings) -> Frames:
    values = {"kind": "frames", "backbone": "mobilenet_v3_small", "weights": str(weights)}
    return Frames.parse({**values, "size": 32, **settings})


class TestFrames:
    def test_the_layer_before_the_last_from_a_local_file(self, network, weights):
        frames = np.random.default_rng(0).integers(0, 255, (3, 32, 32, 3)).astype(np.uint8)
        features = frames_features(weights)
        encoder = features.encoder(features.learn([]))
        (steps,) = encoder.encode([features.read(frames)])
        assert steps.shape == (3, encoder.num_features) == (3, 1024)
        images = torch.from_numpy(frames).permute(0, 3, 1, 2) / 255
        mean, std = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
        with torch.inference_mode():
            hidden = network.avgpool(network.features((images - mean[:, None, None])
                                                      / std[:, None, None])).flatten(1)  # fmt: skip
            expected = network.classifier[:-1](hidden)
        np.testing.assert_allclose(steps, expected, atol=1e-4)

    def test_a_clip_end_to_end_and_batches_that_do_not_show(self, weights):
        features = frames_features(weights, frame_rate=None)
        frames = np.concatenate([NUMBERED, NUMBERED[::-1]] * 2)
        assert len(frames) > BLOCK_FRAMES
        steps = features.read(make_clip(frames)).steps
        assert steps.shape == (96, 1024) and np.isfinite(steps).all()
        np.testing.assert_allclose(steps[:48], steps[::-1][:48], atol=1e-4)
        assert np.abs(steps[0] - steps[20]).max() > 1e-3

    def test_safetensors_and_bfloat16(self, network, weights, tmp_path: Path):
        from safetensors.torch import save_file

        save_file(network.state_dict(), tmp_path / "w.safetensors")
        steps = frames_features(weights).read(NUMBERED[:2]).steps
        same = frames_features(tmp_path / "w.safetensors").read(NUMBERED[:2]).steps
        np.testing.assert_array_equal(same, steps)
        short = frames_features(weights, precision="bfloat16").read(NUMBERED[:2]).steps
        assert 0 < np.abs(short - steps).max() < 0.05 * np.abs(steps).max()

    def test_other_weights_are_refused_later(self, network, weights, tmp_path: Path):
        learned = frames_features(weights).learn([])
        assert list(json.loads(learned["backbone.json"])) == ["weights_hash"]
        state = {key: value + 1 for key, value in network.state_dict().items()}
        torch.save(state, tmp_path / "other.pth")
        with pytest.raises(SettingsError, match="not the weights"):
            frames_features(tmp_path / "other.pth").encoder(learned)

    def test_named_weights_come_from_torchs_cache_or_say_what_to_fetch(
        self, network, weights, tmp_path: Path, monkeypatch
    ):
        def no_network(*args, **kwargs):
            raise URLError("no network")

        monkeypatch.setattr(torch.hub, "download_url_to_file", no_network)
        monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
        with pytest.raises(SeqbeltError) as caught:
            frames_features("IMAGENET1K_V1").learn([])
        place = tmp_path / "checkpoints/mobilenet_v3_small-047dcff4.pth"
        assert str(place) in str(caught.value)
        assert "https://download.pytorch.org/models/mobilenet_v3_small-" in str(caught.value)
        place.parent.mkdir(exist_ok=True)
        place.write_bytes(weights.read_bytes())
        np.testing.assert_array_equal(
            frames_features("IMAGENET1K_V1").read(NUMBERED[:2]).steps,
            frames_features(weights).read(NUMBERED[:2]).steps,
        )

    def test_settings_that_cannot_work(self, tmp_path: Path, weights):
        with pytest.raises(SettingsError, match=r"no 'resnet19'; torchvision has .*resnet18"):
            frames_features(weights, backbone="resnet19").learn([])
        with pytest.raises(
            SettingsError, match=r"neither a file nor .* has for this backbone: IMAGENET1K_V1"
        ):
            frames_features("IMAGENET").learn([])
        with pytest.raises(SettingsError, match="not the weights of shufflenet"):
            frames_features(weights, backbone="shufflenet_v2_x0_5").learn([])
        torch.save(torch.zeros(2), tmp_path / "tensor.pth")
        with pytest.raises(SettingsError, match="state dict"):
            frames_features(tmp_path / "tensor.pth").learn([])

    def test_weights_are_never_unpickled(self, tmp_path: Path):
        sprung = tmp_path / "sprung"
        (tmp_path / "pickle.pth").write_bytes(pickle.dumps(Trap(sprung)))
        torch.save({"fc.weight": Trap(sprung)}, tmp_path / "zip.pth")
        for name in ("pickle.pth", "zip.pth"):
            with pytest.raises(SettingsError, match="cannot be read as weights"):
                frames_features(tmp_path / name).learn([])
        assert not sprung.exists()
