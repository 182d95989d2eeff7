"""Decoding of clips whose container hides a part of them."""

import io
import struct

import av
import numpy as np
import pytest

from seqbelt.errors import BadInput
from seqbelt.features.video.video import FrameDifferences
from seqbelt.features.video.video_decoding import FrameFormat, decode_video


def test_a_clip_cut_by_an_edit_list_is_whole(tmp_path):
    """Cut without encoding again: the packets before the cut are there and hidden."""
    with av.open(str(tmp_path / "long.mp4"), "w") as output:
        stream = output.add_stream("libx264", rate=10, options={"g": "250"})
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for number in range(120):
            image = np.full((48, 64, 3), 2 * number, np.uint8)
            output.mux(stream.encode(av.VideoFrame.from_ndarray(image, "rgb24")))
        output.mux(stream.encode())
    with (
        av.open(str(tmp_path / "long.mp4")) as source,
        av.open(str(tmp_path / "cut.mp4"), "w") as output,
    ):
        video = source.streams.video[0]
        copy = output.add_stream_from_template(video)
        for packet in source.demux(video):
            if packet.dts is None or packet.pts * packet.time_base > 6.3:
                continue
            offset = round(3.3 / packet.time_base)
            packet.pts, packet.dts, packet.stream = packet.pts - offset, packet.dts - offset, copy
            output.mux(packet)
    frames = list(decode_video(tmp_path / "cut.mp4", FrameFormat(32, 24, True), None, 60))
    assert len(frames) == 30  # of 64 that the container holds
    assert 60 < frames[0].mean() < frames[-1].mean()


def test_a_gif_without_its_trailer_is_cut_short():
    file = io.BytesIO()
    with av.open(file, "w", format="gif") as output:
        stream = output.add_stream("gif", rate=10)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "rgb8"
        for number in range(20):
            image = np.full((48, 64, 3), 8 * number, np.uint8)
            output.mux(
                stream.encode(av.VideoFrame.from_ndarray(image, "rgb24").reformat(format="rgb8"))
            )
        output.mux(stream.encode())
    content, frame_format = file.getvalue(), FrameFormat(32, 24, True)
    assert len(list(decode_video(content, frame_format, None, 60))) == 20
    for share in (0.2, 0.5, 0.9):
        with pytest.raises(BadInput, match="ends before its trailer") as caught:
            list(decode_video(content[: int(len(content) * share)], frame_format, None, 60))
        assert caught.value.reason == "truncated"


@pytest.mark.parametrize(("container", "codec"), [("avi", "mpeg4"), ("asf", "wmv2")])
def test_a_clip_with_fewer_bytes_than_it_states_is_refused(container, codec):
    file = io.BytesIO()
    with av.open(file, "w", format=container) as output:
        stream = output.add_stream(codec, rate=10)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for number in range(30):
            image = np.full((48, 64, 3), 8 * number, np.uint8)
            output.mux(stream.encode(av.VideoFrame.from_ndarray(image, "rgb24")))
        output.mux(stream.encode())
    content, frame_format = file.getvalue(), FrameFormat(32, 24, True)
    assert len(list(decode_video(content, frame_format, None, 60))) == 30
    with pytest.raises(BadInput) as caught:
        list(decode_video(content[: len(content) * 9 // 10], frame_format, None, 60))
    assert caught.value.reason == "truncated"


def encode(container: str, codec: str, *, is_timed: bool = True, starts_s: int = 0) -> bytes:
    """Two seconds of a still picture; all its frames at one time where it is not timed."""
    file = io.BytesIO()
    with av.open(file, "w", format=container) as written:
        stream = written.add_stream(codec, rate=25)
        stream.width, stream.height, stream.pix_fmt = 32, 32, "yuv420p"
        pixels = np.zeros((48, 32), np.uint8)
        frames = [av.VideoFrame.from_ndarray(pixels, "yuv420p") for _ in range(50)]
        for packet in [packet for frame in (*frames, None) for packet in stream.encode(frame)]:
            if not is_timed:
                packet.pts = packet.dts = 0
            elif starts_s and packet.pts is not None:
                packet.pts = packet.dts = packet.pts + round(starts_s / packet.time_base)
            written.mux(packet)
    return file.getvalue()


@pytest.mark.parametrize(
    ("container", "codec", "why"),
    [
        ("mp4", "mpeg4", "several recordings one after the other"),
        ("matroska", "mpeg4", "several recordings one after the other"),
        ("mpegts", "mpeg2video", "times of frames fall back after"),
    ],
)
def test_videos_one_after_the_other_are_refused(tmp_path, container, codec, why):
    """A decoder would read the first, or put all frames of the others at its end."""
    content = encode(container, codec)
    assert len([*decode_video(content, FrameFormat(8, 8, True), None, 60)]) == 50
    (tmp_path / "x").write_bytes(content + content)
    for source in (content + content, tmp_path / "x"):
        with pytest.raises(BadInput, match=why):
            list(decode_video(source, FrameFormat(8, 8, True), None, 60))


def test_frames_that_all_have_one_time_are_refused():
    with pytest.raises(BadInput, match="all 50 frames have the same time"):
        content = encode("matroska", "mpeg4", is_timed=False)
        list(decode_video(content, FrameFormat(8, 8, True), 10, 60))


def test_a_picture_before_the_video_is_no_video():
    file = io.BytesIO()
    with av.open(file, "w", format="mp4") as output:
        streams = [output.add_stream("mjpeg", rate=10), output.add_stream("mpeg4", rate=10)]
        for stream, stream.pix_fmt in zip(streams, ("yuvj420p", "yuv420p"), strict=True):
            stream.width, stream.height = 64, 48
        for stream, count in zip(streams, (1, 20), strict=True):
            pixels = np.zeros((72, 64), np.uint8)
            frames = [av.VideoFrame.from_ndarray(pixels, stream.pix_fmt) for _ in range(count)]
            output.mux([packet for frame in (*frames, None) for packet in stream.encode(frame)])
    assert len([*decode_video(file.getvalue(), FrameFormat(8, 8, True), None, 60)]) == 20


def test_a_clip_whose_times_do_not_begin_at_0_is_whole():
    """As pieces of a live stream are, whose length Matroska counts from 0."""
    content = encode("matroska", "mpeg4", starts_s=10)
    assert len([*decode_video(content, FrameFormat(8, 8, True), None, 60)]) == 50


def test_an_mp4_without_its_index_is_cut_short():
    content = encode("mp4", "mpeg4")
    with pytest.raises(BadInput, match="without its index") as caught:
        list(decode_video(content[: len(content) // 2], FrameFormat(8, 8, True), None, 60))
    assert caught.value.reason == "truncated"


def frames_of(content: bytes) -> tuple[list[np.ndarray], list[str]]:
    notes: list[str] = []
    return [*decode_video(content, FrameFormat(32, 24, True), None, 60, notes)], notes


def encode_pictures(container: str, codec: str, pixels: str, picture: np.ndarray) -> bytes:
    """Thirty times the picture of red, green, blue and, with four channels, opacity."""
    file = io.BytesIO()
    with av.open(file, "w", format=container) as output:
        stream = output.add_stream(codec, rate=10)
        stream.width, stream.height, stream.pix_fmt = 64, 48, pixels
        for _ in range(30):
            frame = av.VideoFrame.from_ndarray(picture, ("rgb24", "rgba")[picture.shape[2] - 3])
            output.mux(stream.encode(frame.reformat(format=pixels)))
        output.mux(stream.encode())
    return file.getvalue()


@pytest.mark.parametrize(
    ("matrix", "corners"),
    [
        ((1, 0, 0, 1), [255, 100, 0, 0]),
        ((0, 1, -1, 0), [0, 255, 0, 100]),
        ((-1, 0, 0, -1), [0, 0, 100, 255]),
        ((0, -1, 1, 0), [100, 0, 255, 0]),
        ((-1, 0, 0, 1), [100, 255, 0, 0]),
        ((1, 0, 0, -1), [0, 0, 255, 100]),
        ((0, 1, 1, 0), [255, 0, 100, 0]),
    ],
    ids=["upright", "90", "180", "270", "mirrored", "upside-down", "transposed"],
)
def test_a_clip_is_turned_and_mirrored_as_it_states(matrix, corners):
    picture = np.zeros((48, 64, 3), np.uint8)
    picture[:24, :32], picture[:24, 32:] = 255, 100
    content = encode_pictures("mp4", "mpeg4", "yuv420p", picture)
    at = content.index(b"tkhd") + 44
    a, b, c, d = (65536 * value for value in matrix)
    stated = struct.pack(">9i", a, b, 0, c, d, 0, 0, 0, 1 << 30)
    frames, _ = frames_of(content[:at] + stated + content[at + 36 :])
    found = [frames[9][y, x] for y in (4, -4) for x in (4, -4)]
    np.testing.assert_allclose(np.array(found, float), corners, atol=6)


@pytest.mark.parametrize(
    ("container", "codec", "pixels"),
    [("apng", "apng", "rgba"), ("yuv4mpegpipe", "wrapped_avframe", "yuv420p")],
)
def test_formats_of_whole_frames_that_are_cut_short_are_refused(container, codec, pixels):
    picture = np.random.default_rng(0).integers(0, 255, (48, 64, 3)).astype(np.uint8)
    content = encode_pictures(container, codec, pixels, picture)
    assert len(frames_of(content)[0]) == 30
    for share in (0.3, 0.9, 0.99):
        with pytest.raises(BadInput) as caught:
            frames_of(content[: int(share * len(content))])
        assert caught.value.reason == "truncated"


def test_a_second_picture_behind_an_apng_is_refused():
    content = encode_pictures("apng", "apng", "rgb24", np.zeros((48, 64, 3), np.uint8))
    with pytest.raises(BadInput, match="several recordings"):
        frames_of(content + content)


@pytest.mark.parametrize(
    ("container", "codec"),
    [("mpegts", "mpeg2video"), ("mpeg", "mpeg1video"), ("vob", "mpeg2video")],
)
def test_missing_packets_are_said(container, codec):
    file, random = io.BytesIO(), np.random.default_rng(0)
    with av.open(file, "w", format=container) as output:
        stream = output.add_stream(codec, rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for _ in range(60):
            image = random.integers(0, 255, (48, 64, 3)).astype(np.uint8)
            output.mux(stream.encode(av.VideoFrame.from_ndarray(image, "rgb24")))
        output.mux(stream.encode())
    content = file.getvalue()
    frames, notes = frames_of(content)
    assert len(frames) == 60 and not notes
    for damaged in (content[: len(content) // 2], content[: 188 * 80] + content[188 * 90 :]):
        frames, notes = frames_of(damaged)
        assert 10 < len(frames) < 60 and "gaps or cut short" in notes[0]


def test_transparency_and_a_second_track_are_said():
    picture = np.full((48, 64, 4), 255, np.uint8)
    assert frames_of(encode_pictures("apng", "apng", "rgba", picture))[1] == []
    picture[:24, :, 3] = 0
    content = encode_pictures("apng", "apng", "rgba", picture)
    features = FrameDifferences(kind="frame_differences")
    assert "transparent" in features.remarks(features.read(content), features)[0]
    file = io.BytesIO()
    with av.open(file, "w", format="mp4") as output:
        streams = [output.add_stream("mpeg4", rate=10) for _ in range(2)]
        for stream in streams:
            stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for stream in streams:
            for pixels in [picture[..., :3]] * 9:
                output.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, "rgb24")))
            output.mux(stream.encode())
    assert "2 video tracks" in frames_of(file.getvalue())[1][0]
