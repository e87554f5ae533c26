"""Runs that begin without their server, and what is done about them later: ``journals``, ``sync``, ``clean``."""

from __future__ import annotations

import pytest

from end_to_end.programs import Host

LOGS = """
run = steplog.init(namespace="team", project=os.environ["PROJECT"], name=os.environ["RUN_NAME"], **given)
for step in range(1000):
    run.log("loss", step / 2, step)
"""
TELLS = """
import steplog
for run in steplog.journals():
    print(run.name or "-", run.pending, run.why)
"""
SYNCS = """
import steplog
for done in steplog.sync():
    print(done.name, done.delivered, done.pending, done.why)
print(len(steplog.journals()))
"""


SHORT = {"STEPLOG_EXCHANGE_TIMEOUT_S": "1", "STEPLOG_FINISH_TIMEOUT_S": "1"}


def logs(given: str = "", then: str = "run.finish(timeout=5)") -> str:
    return f"import steplog\ngiven = dict({given})\n{LOGS}{then}\n"


def test_an_offline_run_opens_no_socket_and_is_sent_by_sync_alone(host: Host):
    forbid = "import socket\ndef refuse(*args, **kwargs): os._exit(9)\nsocket.socket.connect = refuse\n"
    done = host.run(forbid + logs('mode="offline"'), name="late")
    assert (done.code, done.out) == (0, "")
    host.run("begin('another').finish()")
    assert host.server.runs("late") == []  # whatever adopts the dead leaves it alone
    assert host.run(TELLS).out == "late 1000 it was started offline: steplog sync\n"
    assert host.run(SYNCS).out == "late 1000 0 \n0\n"
    assert host.server.run("late").status == "COMPLETED"
    assert host.server.values("late", "loss") == [step / 2 for step in range(1000)]


def test_an_offline_run_that_is_finished_is_on_disk_before_the_next_interval(host: Host):
    """finish() waited for that: twenty short runs took twenty seconds."""
    program = "run = begin(mode='offline', provenance=False)\nrun.log('loss', 0.5)\nrun.finish()"
    assert host.run(program, STEPLOG_SPOOL_INTERVAL_S="3600").code == 0
    (spooled,) = host.state.glob("*/*/*.spool")
    assert spooled.stat().st_size > 0


def test_a_run_with_nothing_configured_goes_with_whatever_is_configured_next(host: Host):
    done = host.run(logs(), name="first", STEPLOG_URL="", STEPLOG_API_KEY="", STEPLOG_QUIET="")
    assert done.code == 0
    began, ended = done.errors.splitlines()
    assert began == (
        "steplog: run first is kept on this machine: no server is configured; type: steplog serve, or: steplog login"
    )
    assert ended.startswith("steplog: run first: 1,000 records are kept in ")
    assert ended.endswith("; to send it, type: steplog serve; or: steplog login, and then: steplog sync")
    host.deliver("first", "COMPLETED", points=1000)


@pytest.mark.parametrize("end", ["run.finish(timeout=1)", "os.kill(os.getpid(), 9)"])
def test_a_run_whose_server_is_away_is_made_there_later_once_with_its_status(host: Host, end: str):
    with host.silence():
        done = host.run(logs(then=end), name="early", **SHORT, STEPLOG_QUIET="")
    assert "sent once the server answers" in done.errors
    host.deliver("early", "COMPLETED" if "finish" in end else "CRASHED", points=1000)
    assert host.server.values("early", "loss") == [step / 2 for step in range(1000)]
    assert len(host.server.runs("early")) == 1


@pytest.mark.slow
@pytest.mark.parametrize("end", ["os.kill(os.getpid(), 9)", "raise KeyboardInterrupt"])
@pytest.mark.parametrize("moment", ["before", "after"])
def test_a_run_whose_process_dies_within_init_is_on_the_server_once_and_crashed(host: Host, end: str, moment: str):
    host.run(
        f"""
        from steplog.client import TellurioClient

        class Dying(TellurioClient):
            def send(self, method, endpoint, *arguments, **given):
                answer = super().send(method, endpoint, *arguments, **given) if {moment == "after"} else None
                if "/runs/" in endpoint:
                    {end}
                return answer or super().send(method, endpoint, *arguments, **given)

        begin("cut short", client=Dying())
        """
    )
    assert len(host.server.runs()) == (moment == "after") or "kill" not in end
    host.deliver("cut short", "CRASHED")
    assert sorted(run.name for run in host.server.runs()) == ["adopts", "cut short"]


def test_a_run_from_init_to_finish_needs_neither_requests_nor_urllib3(host: Host):
    """To import them takes longer than the rest of ``init``; a request through them, four times the processor."""
    done = host.run(
        """
        run = begin("light")
        run.log({"loss": 0.5, "note": {"a": [1]}}, step=1)
        run.flush(30)
        report = run.finish()
        print(report.delivered, report.pending, sorted({"requests", "urllib3"} & set(sys.modules)))
        """
    )
    assert (done.code, done.out, done.errors) == (0, "2 0 []\n", "")
    assert host.server.run("light").status == "COMPLETED"


def test_a_run_that_the_server_refuses_leaves_nothing_here(host: Host):
    done = host.run(
        """
        from steplog.client import TellurioClient

        class Long(TellurioClient):
            def send(self, method, endpoint, json=None, **given):
                json = json | {"name": "x" * 5000} if "/runs/" in endpoint else json
                return super().send(method, endpoint, json, **given)

        try:
            begin(client=Long())
        except Exception as error:
            print(type(error).__name__)
        """
    )
    assert (done.code, done.out) == (0, "HTTPError\n")
    assert host.manifests() == []
    assert host.run(TELLS).out == ""


def test_a_run_that_began_without_its_server_gets_its_identity_while_it_goes_on(host: Host):
    done = host.run(
        """
        import steplog
        from steplog.client import TellurioClient
        run = steplog.init("team", os.environ["PROJECT"], "goes on")
        run.log("loss", 1.0)
        assert run.id == run.uuid and run.url is None, run.url
        os.kill(int(sys.argv[1]), 18)
        assert run.flush(30)
        print(run.url.startswith(os.environ["STEPLOG_URL"]), run.name, run.finish().delivered)
        """,
        str(_stopped(host)),
        STEPLOG_EXCHANGE_TIMEOUT_S="1",
    )
    assert (done.code, done.out) == (0, "True goes on 1\n")
    assert len(host.server.run("goes on").uuid) == 36


def _stopped(host: Host) -> int:
    assert host.process is not None
    host.process.send_signal(19)
    return host.process.pid


def test_on_failure_raise_has_a_silent_server_raise(host: Host):
    with host.silence():
        done = host.run(logs('on_failure="raise"'), STEPLOG_EXCHANGE_TIMEOUT_S="1")
    assert "ServerUnavailableError" in done.errors
    assert host.manifests() == []


def test_a_disabled_run_does_nothing_and_leaves_nothing(host: Host):
    done = host.run(logs('mode="disabled"', "print(run.flush(), run.finish().logged, run.stats().append)"))
    assert (done.code, done.out, done.errors) == (0, "True 0 disabled\n", "")
    assert not host.state.exists()
    assert host.server.runs() == []


def test_clean_removes_a_run_by_name_and_never_one_that_waits(host: Host):
    host.run(logs('mode="offline"'), name="kept")
    assert host.run("import steplog\nprint(steplog.clean())").out == "[]\n"
    assert host.run("import steplog\nprint(len(steplog.clean('kept')), steplog.journals())").out == "1 []\n"


def test_several_metrics_of_one_call_have_one_time_and_a_mistake_in_one_records_none(host: Host):
    done = host.run("""
        run = begin()
        run.log({"loss": 0.5, "note": {"a": [1]}}, step=7)
        run.log({"loss": 0.25}, 8)
        run.log_metrics({"accuracy": 1}, step=8)
        for wrong in ({"loss": 1.0, "": 2.0}, {"loss": 1.0, 5: 2.0}):
            try:
                run.log(wrong)
            except (TypeError, ValueError):
                print("refused")
        try:
            run.log("loss")
        except TypeError as error:
            print(error)
        run.finish()
    """)
    assert done.out == "refused\nrefused\nlog() missing a required argument: 'value'\n"
    assert host.server.metrics("run") == [
        ("loss", 0.5, 7),
        ("note", {"a": [1]}, 7),
        ("loss", 0.25, 8),
        ("accuracy", 1, 8),
    ]


def test_each_change_of_the_config_is_kept_beside_the_metrics(host: Host):
    done = host.run("""
        run = begin(config={"lr": 0.1, "layers": [8, 8]})
        run.config["lr"] = 0.2
        del run.config["layers"]
        print(run.config)
        run.finish()
    """)
    assert done.out == "Config({'lr': 0.2})\n"
    assert host.server.values("run", "steplog/config") == [
        {"lr": 0.1, "layers": [8, 8]},
        {"lr": 0.2},
    ]
    assert host.server.values("run", "steplog/config/removed") == [["layers"]]


def test_init_says_what_was_probably_meant(host: Host):
    done = host.run("""
        import steplog
        for args, given in [(("mnist",), {}), ((), {}), (("a", "b"), {"project": "c"}), (("a", "!?"), {})]:
            try:
                steplog.init(*args, **given)
            except (TypeError, ValueError) as error:
                print(type(error).__name__, error)
    """)
    assert done.out.splitlines() == [
        "ValueError init() needs a project; did you mean init(project='mnist')?",
        "ValueError init() needs a project: init(project=...), or STEPLOG_PROJECT",
        "TypeError init() got the project twice: 'b' and project='c'",
        "ValueError the project '!?' has no letter or digit to make its address of",
    ]


@pytest.mark.parametrize(
    ("memory", "disk", "said"),
    [
        ("", "/dev/null/nowhere", "goes without a disk"),
        ("/dev/null/nowhere", "", ""),
        ("/dev/null/nowhere", "/dev/null/nowhere", "goes without a disk"),
    ],
)
def test_a_run_goes_on_without_a_disk_and_without_shared_memory(host: Host, memory: str, disk: str, said: str):
    roots = {"STEPLOG_MEMORY_DIR": memory, "STEPLOG_DIR": disk}
    done = host.run(logs(), **{name: paths for name, paths in roots.items() if paths})
    assert done.code == 0
    assert said in done.errors
    assert host.server.run("run").points == 1000


def test_a_run_that_finds_the_shared_memory_full_of_others_drops_nothing(host: Host):
    fill = "memory = os.environ['STEPLOG_MEMORY_DIR']\nos.makedirs(memory, 0o700, exist_ok=True)\n"
    fill += "open(memory + '/others', 'wb').write(b'x' * 1024 * 1024)\n"
    done = host.run(fill + logs(then="assert not run.finish().dropped"), STEPLOG_MEMORY_BYTES_MAX="1048576")
    assert done.code == 0, done.errors
    assert "goes without shared memory" in done.errors
    assert host.server.run("run").points == 1000


def test_async_with_finishes_the_run_while_the_loop_goes_on(host: Host):
    done = host.run("""
        import asyncio

        async def main():
            async with begin() as run:
                run.log("loss", 1.0)

        asyncio.run(main())
    """)
    assert (done.code, done.errors) == (0, "")
    assert (host.server.run("run").status, host.server.run("run").points) == ("COMPLETED", 1)


SET_ASIDE = """
import steplog
for run in steplog.journals():
    print(run.name, run.pending, run.why.rpartition("/")[0].endswith(str(run.path)), run.why)
print(steplog.clean(), steplog.clean("spoilt") == [run.id], steplog.journals())
"""


def test_a_run_with_only_set_aside_records_left_says_so_and_is_cleaned_only_by_name(host: Host):
    host.run("begin('spoilt').finish()")  # so that its directory is one that was made by us
    paths = host.state / f"{'a' * 32}.{_host_of(host)}"
    paths.mkdir(mode=0o700)
    (paths / "quarantine").write_text("{}\n")
    (paths / "manifest.delivered").write_text(
        '{"local_id": "%s", "base_url": "", "account": "", "namespace": "", "project": "p", "run": "u",'
        ' "name": "spoilt", "status_sent": true}' % ("a" * 32)
    )
    first, last = host.run(SET_ASIDE).out.splitlines()
    assert first == f"spoilt 0 True delivered, but for what was set aside in {paths / 'quarantine'}"
    assert last == "[] True []"


def _host_of(host: Host) -> str:
    return host.run("from steplog.host import host_id\nprint(host_id())").out.strip()


def test_superseded_runs_leave_nothing_on_this_machine(host: Host):
    done = host.run("""
        for number in range(4):
            run = begin(f"run {number}")
            run.log("loss", 1.0)
            assert run.flush(20)
    """)
    assert done.code == 0
    assert [row.status for row in host.server.runs()] == ["FAILED"] * 3 + ["COMPLETED"]
    assert host.manifests() == []
