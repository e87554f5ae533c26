"""Sounds: what is taken, and what is in the file of one."""

from __future__ import annotations

import io
import wave

import pytest

import steplog
from media import samples
from media.keeping import Keeping
from steplog.media_value import LOGGED_BYTES_MAX, TooLargeToLogError

numpy = pytest.importorskip("numpy")


def heard(value: steplog.Audio) -> tuple[int, int, list[int]]:
    """Channels, sample rate and samples of the file that is made."""
    with wave.open(io.BytesIO(Keeping().logged_file(value))) as file:
        frames = numpy.frombuffer(file.readframes(10**7), "<i2")
        return file.getnchannels(), file.getframerate(), frames.tolist()


def test_the_record_of_a_sound_says_how_long_it_is():
    record = Keeping().log(steplog.Audio(numpy.zeros((800, 2)), 16_000, caption="hello"))
    assert record == {
        "_type": "audio",
        "file": "0" * 32,
        "type": "audio/wav",
        "sample_rate": 16_000,
        "channels": 2,
        "duration_s": 0.05,
        "caption": "hello",
    }


def test_floats_are_scaled_and_clipped():
    given = numpy.array([0.0, 1.0, -1.0, 0.5, 3.0, -3.0, float("nan"), float("inf")])
    expected = [0, 32767, -32767, 16384, 32767, -32767, 0, 32767]
    for kind in (numpy.float16, numpy.float32, numpy.float64):
        assert heard(steplog.Audio(given.astype(kind), 8000)) == (1, 8000, expected)


def test_whole_numbers_of_16_bits_are_kept_and_of_32_bits_lose_half():
    given = numpy.array([0, 1, -1, 32767, -32768])
    assert heard(steplog.Audio(given.astype(numpy.int16), 8000))[2] == given.tolist()
    assert heard(steplog.Audio((given << 16).astype(numpy.int32), 8000))[2] == given.tolist()


def test_channels_are_interleaved():
    given = numpy.arange(12, dtype=numpy.int16).reshape(6, 2)
    assert heard(steplog.Audio(given, 8000)) == (2, 8000, list(range(12)))
    assert heard(steplog.Audio(given[::2, 1:], 8000)) == (1, 8000, [1, 5, 9])


@pytest.mark.parametrize("shape", [(), (0,), (5, 0), (2, 3, 4)])
def test_arrays_of_no_sound_raise_value_error(shape):
    with pytest.raises(ValueError, match="of shape"):
        steplog.Audio(numpy.zeros(shape), 8000)


def test_channels_that_come_first_in_an_array_raise_value_error_with_what_to_do():
    with pytest.raises(ValueError, match="transpose"):
        steplog.Audio(numpy.zeros((2, 8000)), 8000)


@pytest.mark.parametrize("rate", [None, 0, -1, 44_100.5, 10**7, "44100", float("nan")])
def test_a_wrong_sample_rate_raises_value_error(rate):
    with pytest.raises(ValueError, match="sample_rate"):
        steplog.Audio(numpy.zeros(100), rate)


def test_a_sample_rate_may_be_any_whole_number():
    for rate in (44_100.0, numpy.int64(44_100)):
        assert heard(steplog.Audio(numpy.zeros(3), rate))[1] == 44_100


@pytest.mark.parametrize(
    "given", [None, 3, [0.1], numpy.zeros(3, numpy.uint8), numpy.zeros(3, bool), numpy.zeros(3, complex)]
)
def test_what_is_no_sound_raises_type_error(given):
    with pytest.raises(TypeError):
        steplog.Audio(given, 8000)


@pytest.mark.parametrize(
    ("data", "media_type", "suffix"),
    [
        (samples.wav(), "audio/wav", ".wav"),
        (samples.MP3, "audio/mpeg", ".mp3"),
        (samples.OGG, "audio/ogg", ".ogg"),
        (samples.FLAC, "audio/flac", ".flac"),
        (samples.WEBM, "video/webm", ".webm"),
    ],
)
def test_a_file_is_kept_as_it_is(data, media_type, suffix, tmp_path):
    (tmp_path / "sound").write_bytes(data)
    for given in (data, tmp_path / "sound", io.BytesIO(data)):
        keeping = Keeping()
        record = keeping.log(steplog.Audio(given, sample_rate=8000))
        assert record == {"_type": "audio", "file": "0" * 32, "type": media_type}
        assert (keeping.file(record), keeping.contents["0" * 32].suffix) == (data, suffix)


def test_a_file_of_another_kind_raises_value_error():
    with pytest.raises(ValueError, match="image/png"):
        steplog.Audio(b"\x89PNG\r\n\x1a\n" + bytes(8))


def test_a_sound_of_more_than_a_call_takes_raises():
    with pytest.raises(TooLargeToLogError):
        Keeping().log(steplog.Audio(numpy.zeros(LOGGED_BYTES_MAX // 2 + 1, numpy.int16), 8000))
