"""Whether it is the record, or everything, that the server refuses."""

from __future__ import annotations

from steplog.delivery.doubt import FAULT_ROUNDS, ROUNDS, Doubt


def judged(events: str, fault: bool = False) -> bool:
    """r: the record is refused; p: the probe passes; b: it is refused too; -: no answer to it."""
    doubt, verdict = Doubt(0, 1), False
    for event in events:
        if event == "r":
            doubt.refused(fault, "no")
        elif event == "p":
            verdict = doubt.passed()
        elif event == "b":
            doubt.block()
        else:
            doubt.blurred()
    return verdict


def test_it_takes_two_rounds_of_a_refusal_and_a_pass_right_after_it():
    assert not judged("rp")
    assert judged("rprp")
    assert ROUNDS == 2


def test_a_pass_that_follows_no_refusal_is_no_round():
    assert not judged("rppp")
    assert not judged("rprrr")


def test_no_answer_to_the_probe_is_no_round():
    assert not judged("rpr-p")
    assert judged("rpr-rp")


def test_a_probe_that_is_refused_has_everything_count_from_none():
    assert not judged("rprbp")
    assert not judged("rprbprp")
    assert judged("rprbprprp")


def test_faults_take_more_rounds():
    assert not judged("rp" * (FAULT_ROUNDS - 1), fault=True)
    assert judged("rp" * FAULT_ROUNDS, fault=True)


def test_refusals_and_faults_do_not_add_up():
    doubt = Doubt(0, 1)
    for fault in (True, True, False):
        doubt.refused(fault, "")
        assert not doubt.passed()
