"""``SummaryWriter``, whose values are a run's.

1. A value is logged under its tag, of its step. Without ``global_step`` it is the next one of its tag.
2. Its time is the moment of the call: ``walltime`` is counted as not recorded.
3. Numbers keep 64 bits. Texts, tensors, histograms and precision-recall curves are JSON values, hyperparameters are the
   run's config. Images, figures, videos and sounds are files; graphs, embeddings, meshes and layouts are counted.
4. The log directory is made, since programs put their checkpoints there; no event file is.
"""

from __future__ import annotations

import contextlib
import importlib.util
import os
import socket
import sys
from collections.abc import Iterator, Mapping
from datetime import datetime
from types import TracebackType
from typing import Any

from steplog.compat.tensorboard import media
from steplog.compat.tensorboard.events import SUMMARY, EventReader, step_of
from steplog.compat.tensorboard.log_dirs import Names, default_log_dir
from steplog.compat.tensorboard.values import (
    histogram_of,
    histogram_of_limits,
    hyperparameters,
    number,
    pr_curve,
    pr_curve_of,
)
from steplog.compat.tensorboard.writer_run import WriterRun
from steplog.compat.unsupported import unsupported
from steplog.formats.protobuf import bytes_field

__all__ = ["FileWriter", "SummaryWriter"]

_FILES = "steplog has no such value; save what you need of it as a file: steplog.get_active_run().save(path)"
_LAYOUT = "the page shows each metric by itself"


def _has_numpy(method: str) -> bool:
    """Whether NumPy is there, which the original needs, too; a call that goes without is counted."""
    if importlib.util.find_spec("numpy") is not None:
        return True
    unsupported.note(f"SummaryWriter.{method}()", "it needs NumPy; type: pip install numpy")
    return False


class FileWriter:
    """Takes events and summaries as they are written to event files, and logs what they say."""

    def __init__(
        self,
        log_dir: Any = None,
        max_queue: int = 10,
        flush_secs: int = 120,
        filename_suffix: str = "",
        logdir: Any = None,
        *,
        _run: WriterRun | None = None,
    ) -> None:
        self._log_dir = str(log_dir or logdir)
        self._run = WriterRun(self._log_dir) if _run is None else _run
        self._reader = EventReader(self._run.configure)

    def get_logdir(self) -> str:
        """The log directory."""
        return self._log_dir

    def add_event(self, event: Any, step: Any = None, walltime: float | None = None) -> None:
        """Log what an ``Event`` says."""
        if step is not None:
            event.step = int(step)
        for tag, value in self._reader.values(event):
            self._run.log(tag, value, step_of(event, step))

    def add_summary(self, summary: Any, global_step: Any = None, walltime: float | None = None) -> None:
        """Log what a ``Summary`` says."""
        self.add_event(_Event(summary), global_step, walltime)

    def add_graph(self, graph_profile: Any, walltime: float | None = None) -> None:
        """Counted."""
        unsupported.note("FileWriter.add_graph()", _FILES)

    def add_onnx_graph(self, graph: Any, walltime: float | None = None) -> None:
        """Counted."""
        unsupported.note("FileWriter.add_onnx_graph()", _FILES)

    def flush(self) -> None:
        """Wait until what was logged is delivered, for 5 s at most; not while a server does not take it."""
        self._run.flush()

    def close(self) -> None:
        """Let go of the run."""
        self._run.close()

    def reopen(self) -> None:
        """Do nothing: the next event goes on."""


class _Event:
    """A summary and its step, read as an ``Event`` is."""

    def __init__(self, summary: Any) -> None:
        self.summary = summary
        self.step = 0

    def SerializeToString(self) -> bytes:  # noqa: N802 - protobuf's name
        """As an ``Event`` of the summary alone."""
        data: bytes = self.summary.SerializeToString()
        return bytes_field(SUMMARY, data)


class SummaryWriter:
    """Logs to the active run, tags as names; without one, to a run of its log directory, which ``close`` ends.

    Args:
        log_dir: gives a run of its own its name and project, and tags in a run of several writers their prefix.
        comment: is put after the log directory that is chosen without one.
        purge_step: of a run of its own: go on with the last one of the same name. What it has from this step on
            stays until it is logged again.
        max_queue, flush_secs, filename_suffix, comet_config: of event files; nothing is done.
        write_to_disk: False: nothing is logged.
        logdir: tensorboardX's name of ``log_dir``.
    """

    def __init__(
        self,
        log_dir: Any = None,
        comment: str = "",
        purge_step: int | None = None,
        max_queue: int = 10,
        flush_secs: int = 120,
        filename_suffix: str = "",
        write_to_disk: bool = True,
        logdir: Any = None,
        comet_config: Any = None,
        **others: Any,
    ) -> None:
        chosen = str(log_dir or logdir or default_log_dir(comment, datetime.now(), socket.gethostname()))  # noqa: DTZ005
        self.log_dir = self.logdir = chosen
        self.purge_step = purge_step
        self.max_queue = max_queue
        self.flush_secs = flush_secs
        self.filename_suffix = filename_suffix
        self._step: int | None = None  # what values without a step have
        self._hparams: dict[str, Any] | None = None
        self._beside_count = 0
        self._run: WriterRun | None = None
        if write_to_disk:
            self._run = WriterRun(chosen, goes_on=purge_step is not None)
            if "://" not in chosen:
                with contextlib.suppress(OSError):
                    os.makedirs(chosen, exist_ok=True)
        self.file_writer = FileWriter(chosen, _run=self._run)

    def _log(self, tag: str, value: Any, global_step: Any, walltime: float | None = None) -> None:
        if walltime is not None:
            unsupported.note("SummaryWriter's walltime=", "the time of the call is recorded")
        if global_step.__class__ is not int:
            global_step = self._step if global_step is None else int(global_step)
        if self._run is not None:
            self._run.log(tag, value, global_step)

    def add_scalar(
        self,
        tag: str,
        scalar_value: Any,
        global_step: Any = None,
        walltime: float | None = None,
        new_style: Any = False,
        double_precision: Any = False,
        display_name: str = "",
        summary_description: str = "",
    ) -> None:
        """Log a number: a float or an integer, or a tensor or an array of one element."""
        value = scalar_value if scalar_value.__class__ is float else number(scalar_value)
        self._log(tag, value, global_step, walltime)

    def add_scalars(
        self, main_tag: str, tag_scalar_dict: Mapping[str, Any], global_step: Any = None, walltime: float | None = None
    ) -> None:
        """Log numbers as ``main_tag/tag``."""
        for tag, value in tag_scalar_dict.items():
            self.add_scalar(f"{main_tag}/{tag}", value, global_step, walltime)

    def add_hparams(
        self,
        hparam_dict: Any,
        metric_dict: Any,
        hparam_domain_discrete: Any = None,
        run_name: str | None = None,
        global_step: Any = None,
        name: str | None = None,
    ) -> None:
        """Set hyperparameters in the run's config, and log the numbers that they led to.

        Of a run of its own they are set once: others than before begin a run beside it, of these alone.
        """
        if type(hparam_dict) is not dict or type(metric_dict) is not dict:
            raise TypeError("add_hparams() takes a dict of hyperparameters and a dict of numbers")
        if self._run is None:
            return
        given = hyperparameters(hparam_dict)
        if self._hparams is not None and given != self._hparams and self._run.is_own():
            called = run_name or name or (hparam_domain_discrete if isinstance(hparam_domain_discrete, str) else None)
            with self._beside(called) as writer:
                writer.add_hparams(hparam_dict, metric_dict, global_step=global_step)
            return
        self._hparams = given
        self._run.configure(given)
        for tag, value in metric_dict.items():
            self.add_scalar(tag, value, global_step)

    def _beside(self, called: str | None) -> SummaryWriter:
        """A writer of a run in the same group."""
        self._beside_count += 1
        part = called or str(self._beside_count + 1)
        assert self._run is not None  # noqa: S101 - its caller has looked
        writer = SummaryWriter(os.path.join(self.log_dir, part))
        project, name, group = self._run.names
        writer._run = WriterRun(writer.log_dir, names=Names(project, f"{name}/{part}", group or name))
        return writer

    def add_text(self, tag: str, text_string: Any, global_step: Any = None, walltime: float | None = None) -> None:
        """Log a text."""
        self._log(tag, text_string if isinstance(text_string, str) else str(text_string), global_step, walltime)

    def add_tensor(self, tag: str, tensor: Any, global_step: Any = None, walltime: float | None = None) -> None:
        """Log a tensor as nested lists."""
        self._log(tag, tensor, global_step, walltime)

    def add_histogram(
        self,
        tag: str,
        values: Any,
        global_step: Any = None,
        bins: Any = "tensorflow",
        walltime: float | None = None,
        max_bins: int | None = None,
    ) -> None:
        """Log the histogram of values."""
        if _has_numpy("add_histogram"):
            self._log(tag, histogram_of(values, bins, max_bins), global_step, walltime)

    def add_histogram_raw(
        self,
        tag: str,
        min: float,  # noqa: A002 - the original's names
        max: float,  # noqa: A002
        num: int,
        sum: float,  # noqa: A002
        sum_squares: float,
        bucket_limits: Any,
        bucket_counts: Any,
        global_step: Any = None,
        walltime: float | None = None,
    ) -> None:
        """Log a histogram of these bins; a limit is the upper one."""
        limits, counts = [float(limit) for limit in bucket_limits], [float(count) for count in bucket_counts]
        if len(limits) != len(counts):
            raise ValueError(f"add_histogram_raw() got {len(limits)} limits of {len(counts)} buckets")
        self._log(tag, histogram_of_limits(counts, limits, float(min)), global_step, walltime)

    def add_pr_curve(
        self,
        tag: str,
        labels: Any,
        predictions: Any,
        global_step: Any = None,
        num_thresholds: int = 127,
        weights: Any = None,
        walltime: float | None = None,
    ) -> None:
        """Log a precision-recall curve as a table."""
        if _has_numpy("add_pr_curve"):
            self._log(tag, pr_curve_of(labels, predictions, num_thresholds, weights), global_step, walltime)

    def add_pr_curve_raw(
        self,
        tag: str,
        true_positive_counts: Any,
        false_positive_counts: Any,
        true_negative_counts: Any,
        false_negative_counts: Any,
        precision: Any,
        recall: Any,
        global_step: Any = None,
        num_thresholds: int = 127,
        weights: Any = None,
        walltime: float | None = None,
    ) -> None:
        """Log a precision-recall curve of these counts as a table."""
        counts = true_positive_counts, false_positive_counts, true_negative_counts, false_negative_counts
        if _has_numpy("add_pr_curve_raw"):
            self._log(tag, pr_curve(*counts, precision, recall), global_step, walltime)

    def _file(self, method: str, advice: str = _FILES) -> None:
        """What would be a file is counted."""
        if self._run is not None:
            unsupported.note(f"SummaryWriter.{method}()", advice)

    def _log_media(self, tag: str, value: Any, global_step: Any, walltime: float | None) -> None:
        """Log what is kept of a file; None: it was counted."""
        if value is not None:
            self._log(tag, value, global_step, walltime)

    def add_image(
        self,
        tag: str,
        img_tensor: Any,
        global_step: Any = None,
        walltime: float | None = None,
        dataformats: str = "CHW",
    ) -> None:
        """Log an image; ``dataformats`` names the axes of its array or tensor."""
        if self._run is not None and _has_numpy("add_image"):
            value = media.image(img_tensor, dataformats, "SummaryWriter.add_image()")
            self._log_media(tag, value, global_step, walltime)

    def add_images(
        self,
        tag: str,
        img_tensor: Any,
        global_step: Any = None,
        walltime: float | None = None,
        dataformats: str = "NCHW",
    ) -> None:
        """Log a batch of images as one, tiled; a list of images as such a batch."""
        if self._run is not None and _has_numpy("add_images"):
            if isinstance(img_tensor, list):  # tensorboardX's
                dataformats = dataformats if len(dataformats) == 4 else f"N{dataformats}"
            value = media.image(img_tensor, dataformats, "SummaryWriter.add_images()")
            self._log_media(tag, value, global_step, walltime)

    def add_image_with_boxes(
        self,
        tag: str,
        img_tensor: Any,
        box_tensor: Any,
        global_step: Any = None,
        walltime: float | None = None,
        rescale: float = 1,
        dataformats: str = "CHW",
        labels: Any = None,
        **others: Any,
    ) -> None:
        """Log an image with boxes, which are beside it, not drawn into it."""
        if self._run is not None and _has_numpy("add_image_with_boxes"):
            call = "SummaryWriter.add_image_with_boxes()"
            value = media.boxed_image(img_tensor, box_tensor, dataformats, labels, call)
            self._log_media(tag, value, global_step, walltime)

    def add_figure(
        self, tag: str, figure: Any, global_step: Any = None, close: bool = True, walltime: float | None = None
    ) -> None:
        """Log a figure of Matplotlib's as an image, several as a list; they are closed, as the original does."""
        if self._run is not None:
            value = media.figure(figure, "SummaryWriter.add_figure()")
            self._log_media(tag, value, global_step, walltime)
        pyplot = sys.modules.get("matplotlib.pyplot")
        if close and pyplot is not None:
            for each in figure if isinstance(figure, list) else [figure]:
                pyplot.close(each)

    def add_video(
        self,
        tag: str,
        vid_tensor: Any,
        global_step: Any = None,
        fps: float = 4,
        walltime: float | None = None,
        dataformats: str = "NTCHW",
    ) -> None:
        """Log a batch of videos as one, tiled."""
        if self._run is not None and _has_numpy("add_video"):
            value = media.video(vid_tensor, fps, dataformats.upper(), "SummaryWriter.add_video()")
            self._log_media(tag, value, global_step, walltime)

    def add_audio(
        self,
        tag: str,
        snd_tensor: Any,
        global_step: Any = None,
        sample_rate: int = 44100,
        walltime: float | None = None,
    ) -> None:
        """Log a sound, of numbers from -1 to 1."""
        if self._run is not None and _has_numpy("add_audio"):
            value = media.audio(snd_tensor, sample_rate, "SummaryWriter.add_audio()")
            self._log_media(tag, value, global_step, walltime)

    def add_graph(
        self, model: Any, input_to_model: Any = None, verbose: bool = False, use_strict_trace: bool = True
    ) -> None:
        """Counted; the model is not traced."""
        self._file("add_graph")

    def add_onnx_graph(self, prototxt: Any = None, onnx_model_file: Any = None) -> None:
        """Counted."""
        self._file("add_onnx_graph")

    def add_openvino_graph(self, xmlname: Any) -> None:
        """Counted."""
        self._file("add_openvino_graph")

    def add_embedding(
        self,
        mat: Any,
        metadata: Any = None,
        label_img: Any = None,
        global_step: Any = None,
        tag: str = "default",
        metadata_header: Any = None,
    ) -> None:
        """Counted."""
        self._file("add_embedding")

    def add_mesh(
        self,
        tag: str,
        vertices: Any,
        colors: Any = None,
        faces: Any = None,
        config_dict: Any = None,
        global_step: Any = None,
        walltime: float | None = None,
    ) -> None:
        """Counted."""
        self._file("add_mesh")

    def add_custom_scalars(self, layout: Any) -> None:
        """Counted."""
        self._file("add_custom_scalars", _LAYOUT)

    def add_custom_scalars_multilinechart(self, tags: Any, category: str = "default", title: str = "untitled") -> None:
        """Counted."""
        self._file("add_custom_scalars_multilinechart", _LAYOUT)

    def add_custom_scalars_marginchart(self, tags: Any, category: str = "default", title: str = "untitled") -> None:
        """Counted."""
        self._file("add_custom_scalars_marginchart", _LAYOUT)

    def export_scalars_to_json(self, path: Any) -> None:
        """Counted; see ``steplog export``."""
        self._file("export_scalars_to_json", "no file is written; type: steplog export RUN")

    @contextlib.contextmanager
    def use_metadata(self, *, global_step: Any = None, walltime: float | None = None) -> Iterator[SummaryWriter]:
        """Within the block, ``global_step`` is the step of values that have none."""
        if global_step is None and walltime is None:
            raise AssertionError("use_metadata() takes a global_step or a walltime")
        before, self._step = self._step, None if global_step is None else int(global_step)
        try:
            yield self
        finally:
            self._step = before

    def get_logdir(self) -> str:
        """The log directory."""
        return self.log_dir

    def _get_file_writer(self) -> FileWriter:
        """For programs that add summaries by it, as the documentation of hyperparameters once had them do."""
        return self.file_writer

    def flush(self) -> None:
        """Wait until what was logged is delivered, for 5 s at most; not while a server does not take it."""
        if self._run is not None:
            self._run.flush()

    def close(self) -> None:
        """End a run of its own; CRASHED where an exception is being handled, as in ``finally``. It may go on later."""
        self._close(sys.exc_info()[1])

    def _close(self, error: BaseException | None) -> None:
        if self._run is not None:
            self._run.close(error if isinstance(error, (Exception, KeyboardInterrupt)) else None)

    def __enter__(self) -> SummaryWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._close(error)
