"""What a program logs and saves is on the page: the whole way, through the agent and the server."""

from __future__ import annotations

import pytest

from end_to_end.programs import Host
from page.looking import address

PROGRAM = """
    import numpy as np
    run = begin()
    import steplog
    colour = np.zeros((28, 28, 3), np.uint8)
    for step in range(3):
        colour[:] = (80 * step, 90, 200)
        run.log("photo", steplog.Image(colour, caption=f"of {step}"), step=step)
        run.log("grid", [steplog.Image(colour), steplog.Image(colour[:, :, 0])], step=step)
        run.log("weights", steplog.Histogram(np.arange(100) % 7), step=step)
    run.log("tone", steplog.Audio(np.sin(np.arange(4000) / 3), sample_rate=8000), step=0)
    frames = np.stack([colour, 255 - colour])
    run.log("film", steplog.Video(frames, fps=10), step=0)
    run.log("page", steplog.Html("<p id=said>hello</p>"), step=0)
    rows = [[steplog.Image(colour), at] for at in range(3)]
    run.log("rows", steplog.Table(columns=["image", "n"], rows=rows), step=0)
    run.log("large", steplog.Table(columns=["n", "text"], rows=[[at, "x" * 200] for at in range(1000)]), step=0)
    with open("notes.txt", "w") as file:
        file.write("some notes")
    run.save("notes.txt")
    run.log_artifact("notes.txt", name="notes", type="text", aliases=["best"], metadata={"lr": 0.1})
    run.finish()
"""
IMAGES = "[...document.querySelectorAll('.sample .media img')].filter((each) => each.complete && each.naturalWidth)"
SHOWN = {
    "photo": f"{IMAGES}.length === 1 && document.querySelector('figcaption').textContent === 'of 2'",
    "grid": f"{IMAGES}.length === 2",
    "weights": "document.querySelector('.histogram p').textContent.startsWith('100 in')",
    "tone": "Math.abs(document.querySelector('audio').duration - 0.5) < 0.01",
    "film": f"{IMAGES}.length === 1",
    "page": "document.querySelector('iframe').contentDocument.getElementById('said').textContent === 'hello'",
    "rows": f"{IMAGES}.length === 3 && document.querySelectorAll('.sample tbody tr').length === 3",
    "large": "document.querySelectorAll('.sample tbody tr').length === 100",
}


@pytest.mark.slow
def test_what_a_program_logs_and_saves_is_on_the_page(server, browser, tmp_path):
    host = Host(tmp_path, server)
    done = host.run(PROGRAM)
    assert done.code == 0, done.errors
    path = f"/team/projects/{host.project}/runs/run/"
    for name, condition in SHOWN.items():
        browser.open(address(server, f"{path}?tab=samples&samples={name}"))
        browser.wait(condition)
    browser.open(address(server, f"{path}?tab=files"))
    browser.by_role("button", "Show notes.txt").click()
    browser.wait("document.querySelector('.file-shown pre')?.textContent.includes('some notes')")
    assert "notes:v0" in browser.by_role("region", "Artifacts logged").text
    assert not browser.by_role("region", "Artifacts used").there()
    browser.by_role("button", "notes:v0").click()
    browser.by_role("button", "Show notes.txt", nth=1).click()
    browser.wait("document.querySelectorAll('.file-shown pre').length === 2")
