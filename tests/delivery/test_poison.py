"""Whether it is the record, or everything, that the server refuses."""

from __future__ import annotations

from steplog.delivery.poison import FAULT_ROUNDS, ROUNDS, PoisonTest


def judged(events: str, fault: bool = False) -> bool:
    """r: the record is refused; p: the probe passes; b: it is refused too; -: no answer to it."""
    poison_test, verdict = PoisonTest(0, 1), False
    for event in events:
        if event == "r":
            poison_test.refused(fault, "no")
        elif event == "p":
            verdict = poison_test.control_accepted()
        elif event == "b":
            poison_test.control_refused()
        else:
            poison_test.control_unanswered()
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
    poison_test = PoisonTest(0, 1)
    for fault in (True, True, False):
        poison_test.refused(fault, "")
        assert not poison_test.control_accepted()
