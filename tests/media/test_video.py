"""Videos: what is taken, and what the file of one shows."""

from __future__ import annotations

import io

import pytest

import steplog
from media import samples
from media.keeping import Keeping
from steplog.media_value import LOGGED_BYTES_MAX, TooLargeToLogError

numpy = pytest.importorskip("numpy")
PIL = pytest.importorskip("PIL.Image")


def shown(value: steplog.Video) -> list[numpy.ndarray]:
    with PIL.open(io.BytesIO(Keeping().logged_file(value))) as image:
        frames = []
        for number in range(image.n_frames):
            image.seek(number)
            frames.append(numpy.asarray(image.convert("RGB")))
        return frames


def noise(*shape: int) -> numpy.ndarray:
    return numpy.random.default_rng(0).integers(0, 256, shape, dtype=numpy.uint8)


def test_the_record_of_a_video_says_what_it_is():
    keeping = Keeping()
    record = keeping.log(steplog.Video(noise(5, 20, 30, 3), fps=12.5, caption="rollout"))
    named = {"_type": "video", "file": "0" * 32, "type": "image/apng"}
    assert record == {**named, "width": 30, "height": 20, "frames": 5, "fps": 12.5, "caption": "rollout"}


@pytest.mark.parametrize("first", [True, False])
@pytest.mark.parametrize("channels", [1, 3])
def test_frames_are_shown_with_their_channels_first_or_last(channels, first):
    frames = noise(5, 20, 30, channels)
    made = shown(steplog.Video(frames.transpose(0, 3, 1, 2) if first else frames))
    assert len(made) == 5
    for found, expected in zip(made, frames, strict=True):
        assert (found == expected).all()


def test_frames_without_channels_are_grey():
    frames = noise(5, 20, 30)
    for found, expected in zip(shown(steplog.Video(frames)), frames, strict=True):
        assert (found == expected[:, :, None]).all()


def test_where_both_could_be_the_channels_the_first_are_as_in_wandb():
    assert Keeping().log(steplog.Video(noise(2, 3, 9, 4)))["height"] == 9


def test_floats_are_scaled_by_the_range_of_all_frames():
    frames = numpy.zeros((2, 4, 4, 3))
    frames[1] = 1.0
    assert [frame.max() for frame in shown(steplog.Video(frames))] == [0, 255]


@pytest.mark.parametrize(("fps", "shown_ms"), [(4, 250), (29.97, 33.37), (0.5, 2000), (60, 16.67)])
def test_a_frame_is_shown_as_long_as_fps_says(fps, shown_ms):
    with PIL.open(io.BytesIO(Keeping().logged_file(steplog.Video(noise(2, 4, 4), fps=fps)))) as image:
        assert image.info["duration"] == pytest.approx(shown_ms, abs=0.01)


@pytest.mark.parametrize("fps", [0, -1, float("nan"), float("inf"), 10_000])
def test_a_wrong_number_of_frames_a_second_raises_value_error(fps):
    with pytest.raises(ValueError, match="fps"):
        steplog.Video(noise(2, 4, 4), fps=fps)


@pytest.mark.parametrize("shape", [(4, 4), (0, 4, 4), (2, 5, 6, 7), (2, 0, 4, 3)])
def test_arrays_of_no_video_raise_value_error(shape):
    with pytest.raises(ValueError, match="of shape"):
        steplog.Video(numpy.zeros(shape, numpy.uint8))


def test_a_batch_of_videos_raises_value_error_that_says_to_log_a_list():
    with pytest.raises(ValueError, match="log a list"):
        steplog.Video(noise(2, 5, 3, 4, 4))


def test_another_format_than_animated_png_for_frames_raises_and_says_what_to_do():
    assert shown(steplog.Video(noise(2, 4, 4), format="apng"))
    with pytest.raises(ValueError, match="pass its path"):
        steplog.Video(noise(2, 4, 4), format="mp4")
    with pytest.raises(ValueError, match="format"):
        steplog.Video(noise(2, 4, 4), format="avi")


@pytest.mark.parametrize(
    ("data", "media_type", "suffix", "size"),
    [
        (samples.MP4, "video/mp4", ".mp4", {}),
        (samples.WEBM, "video/webm", ".webm", {}),
        (samples.OGV, "video/ogg", ".ogv", {}),
        (samples.apng(), "image/apng", ".png", {"width": 7, "height": 5}),
        (samples.pillow_file("gif"), "image/gif", ".gif", {"width": 7, "height": 5}),
    ],
)
def test_a_file_is_kept_as_it_is(data, media_type, suffix, size, tmp_path):
    (tmp_path / "video").write_bytes(data)
    for given in (data, tmp_path / "video", io.BytesIO(data)):
        keeping = Keeping()
        record = keeping.log(steplog.Video(given))
        assert record == {"_type": "video", "file": "0" * 32, "type": media_type, **size}
        assert (keeping.file(record), keeping.contents["0" * 32].suffix) == (data, suffix)


def test_the_format_of_a_file_is_checked():
    steplog.Video(samples.MP4, format="mp4")
    with pytest.raises(ValueError, match="video/mp4"):
        steplog.Video(samples.MP4, format="webm")
    for given in (samples.pillow_file("png"), samples.MATROSKA, samples.wav()):
        with pytest.raises(ValueError, match="files of kind video"):
            steplog.Video(given)


def test_what_is_no_video_raises_type_error():
    for given in (None, [noise(4, 4)], 3, numpy.zeros((2, 4, 4), complex)):
        with pytest.raises(TypeError):
            steplog.Video(given)
    with pytest.raises(TypeError, match="fps"):
        steplog.Video(noise(2, 4, 4), fps="4")


def test_a_video_of_more_than_a_call_takes_raises():
    frames = numpy.broadcast_to(numpy.zeros((1, 1024, 1024), numpy.uint8), (17, 1024, 1024))
    assert frames.size > LOGGED_BYTES_MAX
    with pytest.raises(TooLargeToLogError):
        Keeping().log(steplog.Video(frames))
