"""How many of public programs that log to wandb or TensorBoard are kept whole: which of their calls are, and what share
of the programs calls nothing else.

The shares are of a count by hand of 2026-11-26: of 55 popular public repositories, no random sample, 48 use wandb, and
142 of their files, of 45 repositories, begin a run or log to one; 92 files of 30 repositories use a ``SummaryWriter``.
Each line of it is cumulative: the files, or the repositories, that call nothing but what it and those above name.

This does not read those repositories again. It makes every call that a line names, in a fresh process with a server,
and takes the line as kept only if none of them raises or is counted as not kept, and what was logged, saved or read is
there. The figure is the share of the last line up to which all are kept.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from benchmarks.figure import Figure
from benchmarks.stage import Stage

__all__ = ["WANDB", "WRITER", "figures", "wandb_lines", "writer_lines"]

GROUP = "kept_scripts"
Shares = tuple[float, float, float | None]  # of files, of repositories, of files without near-copies, in per cent
WANDB: dict[str, Shares] = {
    "init, log, config, finish": (23.2, 11.1, 36.3),
    "sync_tensorboard": (47.9, 11.1, 36.3),
    "group, tags, notes, job_type": (51.4, 17.8, 40.7),
    "id, resume": (57.7, 28.9, 49.5),
    "define_metric, summary": (60.6, 31.1, 53.8),
    "Table": (66.2, 37.8, 62.6),
    "Image, Video, Audio, Html": (73.2, 48.9, 73.6),
    "Artifact, save": (96.5, 88.9, 94.5),
    "Api": (99.3, 97.8, 98.9),
}
WRITER: dict[str, Shares] = {
    "scalar, text, flush, close": (83.7, 53.3, None),
    "histogram": (88.0, 63.3, None),
    "image, figure": (93.5, 80.0, None),
}
MUST = {"files": 95.0, "repositories": 85.0}  # of wandb's; before files were kept it was 60 and 35


def figures(stage: Stage) -> Iterator[Figure]:
    """A share of each; the note says up to which line."""
    for name in ("numpy", "matplotlib"):
        try:
            __import__(name)
        except ModuleNotFoundError:
            yield Figure(group=GROUP, name="scripts kept whole", unit="%", value=None, note=f"needs {name}")
            return
    for of, shares, lines in (("wandb", WANDB, wandb_lines), ("SummaryWriter", WRITER, writer_lines)):
        with stage.server() as server:
            told: dict[str, str] = stage.child(lines, stage.environment(server), folder=str(stage.new_directory()))
        yield from _shares(of, shares, told)


def _shares(of: str, shares: dict[str, Shares], told: dict[str, str]) -> Iterator[Figure]:
    kept: list[str] = []
    for line in shares:
        if told[line]:
            break
        kept.append(line)
    lacking = "; ".join(f"{line}: {why}" for line, why in told.items() if why)
    note = f"up to: {kept[-1] if kept else 'nothing'}{f'; not kept: {lacking}' if lacking else ''}"
    found = shares[kept[-1]] if kept else (0.0, 0.0, None)
    for what, value in zip(("files", "repositories", "files without near-copies"), found, strict=True):
        if value is not None:
            must = MUST.get(what) if of == "wandb" else None
            name = f"{what} with {of} kept whole"
            yield Figure(group=GROUP, name=name, unit="%", value=value, must=must, more_is_better=True, note=note)


def _tried(lines: dict[str, Callable[[], Any]]) -> dict[str, str]:
    """What is wrong of each line; "": nothing."""
    from steplog.compat.unsupported import unsupported

    told = {}
    for line, make in lines.items():
        unsupported.forget()
        try:
            make()
            told[line] = ", ".join(unsupported.counts())
        except Exception as error:  # noqa: BLE001 - of any call: it is what is counted
            told[line] = f"{type(error).__name__}: {error!s:.200}"
    return told


def _check(value: object, what: str) -> None:
    if not value:
        raise ValueError(f"{what} is not there")


def writer_lines(folder: str) -> dict[str, str]:
    """Of a ``SummaryWriter``."""
    import matplotlib as mpl
    import numpy
    from matplotlib import pyplot

    import steplog
    from steplog.compat.tensorboard import SummaryWriter

    os.chdir(folder)
    mpl.use("Agg")
    writer = SummaryWriter("runs/a")

    def plain() -> None:
        writer.add_scalar("loss", 0.5, 1)
        writer.add_scalars("losses", {"train": 0.5, "val": 0.25}, 1)
        writer.add_text("note", "text", 1)
        writer.add_hparams({"lr": 0.1}, {"hparam/loss": 0.5})
        writer.flush()

    def pictures() -> None:
        writer.add_image("image", numpy.zeros((3, 8, 8)), 1)
        writer.add_images("images", numpy.zeros((4, 3, 8, 8)), 1)
        writer.add_figure("figure", pyplot.figure(), 1)
        writer.close()
        series = {row["name"] for row in steplog.open("runs/a").series()}
        _check({"loss", "note", "histogram", "image", "images", "figure"} <= series, "a series")

    lines: dict[str, Callable[[], Any]] = {
        "scalar, text, flush, close": plain,
        "histogram": lambda: writer.add_histogram("histogram", numpy.arange(8), 1),
        "image, figure": pictures,
    }
    return _tried(lines)


def wandb_lines(folder: str) -> dict[str, str]:
    """Of wandb."""
    import steplog.compat.wandb as wandb

    os.chdir(folder)
    script = _Script(wandb)
    return _tried(dict(zip(WANDB, script.lines(), strict=True)))


class _Script:
    """One run after the other, as scripts have them."""

    def __init__(self, wandb: Any) -> None:
        self.wandb = wandb

    def lines(self) -> list[Callable[[], Any]]:
        """In the order of WANDB."""
        return [
            self.plain,
            self.synced,
            self.described,
            self.resumed,
            self.defined,
            self.table,
            self.media,
            self.artifact,
            self.read,
        ]

    def plain(self) -> None:
        with self.wandb.init(project="p", name="n", config={"lr": 0.1}, dir=".") as run:
            self.wandb.log({"loss": 0.5, "deep": {"acc": 1}})
            run.log({"loss": 0.25}, step=5, commit=True)
            self.wandb.config.update({"epochs": 3})
            _check(self.wandb.run is run, "wandb.run")
        self.wandb.init(mode="disabled", save_code=True).finish()

    def synced(self) -> None:
        from steplog.compat import tensorboard_sync

        self.wandb.init(project="p", sync_tensorboard=True).finish()
        tensorboard_sync.stop()

    def described(self) -> None:
        run = self.wandb.init(project="p", group="g", tags=["a"], notes="n", job_type="train")
        _check((run.group, run.tags, run.notes, run.job_type) == ("g", ("a",), "n", "train"), "a field")
        run.finish()

    def resumed(self) -> None:
        self.wandb.init(project="p", id="abc", resume="allow").finish()
        run = self.wandb.init(project="p", id="abc", resume="must")
        _check(run.resumed, "the run of that id")
        run.finish()

    def defined(self) -> None:
        run = self.wandb.init(project="p")
        run.define_metric("epoch")
        run.define_metric("val/*", step_metric="epoch", summary="max")
        run.log({"epoch": 1, "val/acc": 0.5})
        run.summary["best"] = 1
        _check(run.summary["val/acc"]["max"] == 0.5, "a summary")
        run.finish()

    def table(self) -> None:
        run = self.wandb.init(project="p")
        table = self.wandb.Table(columns=["a", "b"], data=[[1, "x"]])
        table.add_data(2, "y")
        run.log({"table": table, "bar": self.wandb.plot.bar(table, "b", "a", title="t")})
        run.log({"histogram": self.wandb.Histogram([1, 2, 3])})
        run.finish()

    def media(self) -> None:
        import numpy

        wandb, run, pixels = self.wandb, self.wandb.init(project="p", id="media"), numpy.zeros((8, 8, 3), numpy.uint8)
        run.log({"image": wandb.Image(pixels, caption="c"), "images": [wandb.Image(pixels)] * 2})
        run.log({"video": wandb.Video(numpy.zeros((4, 3, 8, 8), numpy.uint8), fps=4, format="mp4")})
        run.log({"audio": wandb.Audio(numpy.zeros(80), sample_rate=8000), "html": wandb.Html("<b>bold</b>")})
        run.log({"table": wandb.Table(columns=["image"], data=[[wandb.Image(pixels)]])})
        run.finish()
        values = next(iter(wandb.Api().run("p/media").scan_history(keys=["image", "images"])))
        _check([each["_type"] for each in values["images"]] == ["image", "image"], "an image")

    def artifact(self) -> None:
        wandb, run = self.wandb, self.wandb.init(project="p", id="files")
        Path("model").mkdir()
        Path("model/weights.pt").write_text("weights")
        Path(run.dir, "extra.json").write_text("{}")
        wandb.save("model/*", base_path=".")
        artifact = wandb.Artifact("net", type="model", metadata={"acc": 0.5})
        artifact.add_file("model/weights.pt")
        artifact.add_dir("model", name="all")
        run.log_artifact(artifact, aliases=["best"])
        _check(artifact.wait(60).version == "v0", "a version")
        run.log_model("model", name="whole")
        folder = run.use_artifact("net:best", type="model").download()
        _check(Path(folder, "weights.pt").read_text() == "weights", "a downloaded file")
        run.finish()

    def read(self) -> None:
        wandb = self.wandb
        (run,) = [run for run in wandb.Api().runs("p", filters={"display_name": "n"}) if run.config]
        _check((run.config["lr"], run.summary["loss"], run.state) == (0.1, 0.25, "finished"), "a run")
        _check(len(list(run.scan_history(keys=["loss"]))) == 2, "a history")
        files = {file.name: file for file in wandb.Api().run("p/files").files()}
        _check(set(files) == {"model/weights.pt", "extra.json"}, "a file")
        _check(files["model/weights.pt"].download(root="there").read() == "weights", "a file's content")
        _check(wandb.Api().artifact("p/net:best", type="model").metadata == {"acc": 0.5}, "an artifact")
