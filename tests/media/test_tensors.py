"""Tensors and the arrays of other libraries: one that is like PyTorch's always, others where they are installed."""

from __future__ import annotations

import io
import wave

import pytest

import steplog
from media.keeping import Keeping

numpy = pytest.importorskip("numpy")
PIL = pytest.importorskip("PIL.Image")


class OnDevice:
    """What PyTorch's tensors have, of one that is on another device and has gradients."""

    def __init__(self, array: numpy.ndarray, dtype: str, place: str = "detached") -> None:
        self.array, self.dtype, self.place = array, dtype, place

    @property
    def shape(self) -> tuple[int, ...]:
        return self.array.shape

    def detach(self) -> OnDevice:
        return OnDevice(self.array, self.dtype, "detached")

    def cpu(self) -> OnDevice:
        assert self.place == "detached"
        return OnDevice(self.array, self.dtype, "cpu")

    def float(self) -> OnDevice:
        return OnDevice(self.array.astype(numpy.float32), "torch.float32", self.place)

    def numpy(self) -> numpy.ndarray:
        assert self.place == "cpu"
        if "bfloat16" in self.dtype:
            raise TypeError("Got unsupported ScalarType BFloat16")
        return self.array

    def __array__(self, *_: object) -> numpy.ndarray:
        raise TypeError("can't convert a tensor that is on another device")


def noise(*shape: int) -> numpy.ndarray:
    return numpy.random.default_rng(0).integers(0, 256, shape, dtype=numpy.uint8)


def shown(value: steplog.Image) -> numpy.ndarray:
    with PIL.open(io.BytesIO(Keeping().logged_file(value))) as image:
        return numpy.asarray(image)


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_a_tensor_has_its_channels_first(channels):
    pixels = noise(20, 30, channels)
    tensor = OnDevice(pixels.transpose(2, 0, 1), "torch.uint8", "cuda")
    assert (shown(steplog.Image(tensor)).reshape(pixels.shape) == pixels).all()


def test_a_tensor_without_channels_or_with_them_last_is_taken_too():
    for shape in ((20, 30), (20, 30, 3)):
        assert (shown(steplog.Image(OnDevice(noise(*shape), "torch.uint8"))) == noise(*shape)).all()


def test_a_tensor_of_bfloat16_is_taken():
    tensor = OnDevice(noise(3, 20, 30) / numpy.float32(255), "torch.bfloat16")
    assert (shown(steplog.Image(tensor)) == noise(3, 20, 30).transpose(1, 2, 0)).all()
    assert sum(Keeping().log(steplog.Histogram(tensor))["values"]) == 1800


def test_a_batch_of_tensors_raises_and_complex_ones_too():
    with pytest.raises(ValueError, match="log a list"):
        steplog.Image(OnDevice(noise(8, 3, 20, 30), "torch.uint8"))
    with pytest.raises(TypeError, match="complex"):
        steplog.Image(OnDevice(noise(20, 30), "torch.complex64"))


@pytest.mark.parametrize("shape", [(2, 800), (800, 2)])
def test_a_tensor_of_sound_may_have_its_channels_first(shape):
    if shape[0] > 64:
        samples = numpy.arange(1600, dtype=numpy.int16).reshape(shape)
        expected = samples
    else:
        samples = numpy.arange(1600, dtype=numpy.int16).reshape(shape)
        expected = samples.T
    data = Keeping().logged_file(steplog.Audio(OnDevice(samples, "torch.int16"), 8000))
    with wave.open(io.BytesIO(data)) as file:
        assert file.getnchannels() == 2
        assert file.readframes(800) == expected.tobytes()


@pytest.mark.parametrize("dtype", ["torch.int16", "<dtype: 'int16'>", "torch.bfloat16"])
def test_types_of_samples_are_known_by_what_libraries_call_them(dtype):
    assert Keeping().log(steplog.Audio(OnDevice(numpy.zeros(8, numpy.int16), dtype), 8000))["channels"] == 1
    with pytest.raises(TypeError, match="uint16"):
        steplog.Audio(OnDevice(numpy.zeros(8), dtype.replace("int16", "uint16").replace("bfloat16", "uint16")), 8000)


def test_tensors_of_torch_are_taken():
    torch = pytest.importorskip("torch", reason="torch is not installed here")
    pixels = torch.rand(3, 20, 30, requires_grad=True)
    expected = (pixels.detach().numpy().transpose(1, 2, 0) * 255 + 0.5).astype(numpy.uint8)
    assert (shown(steplog.Image(pixels)) == expected).all()
    for dtype in (torch.float64, torch.float16, torch.bfloat16, torch.uint8, torch.int64, torch.bool):
        assert shown(steplog.Image((pixels > 0.5).to(dtype))).shape == (20, 30, 3)
    assert Keeping().log(steplog.Video(torch.zeros(4, 3, 8, 9, dtype=torch.uint8)))["frames"] == 4
    assert Keeping().log(steplog.Audio(torch.zeros(2, 800), 8000))["channels"] == 2
    assert sum(Keeping().log(steplog.Histogram(pixels))["values"]) == 1800
    with pytest.raises(TypeError, match="complex"):
        steplog.Image(torch.zeros(2, 2, dtype=torch.complex64))


def test_arrays_of_jax_are_taken():
    jax = pytest.importorskip("jax", reason="jax is not installed here")
    pixels = jax.numpy.asarray(noise(20, 30, 3))
    assert (shown(steplog.Image(pixels)) == noise(20, 30, 3)).all()
    assert shown(steplog.Image((pixels / 255).astype(jax.numpy.bfloat16))).shape == (20, 30, 3)


def test_tensors_of_tensorflow_are_taken():
    tensorflow = pytest.importorskip("tensorflow", reason="tensorflow is not installed here")
    assert (shown(steplog.Image(tensorflow.constant(noise(20, 30, 3)))) == noise(20, 30, 3)).all()
