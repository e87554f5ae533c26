"""Which run a text means."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from steplog.naming import (
    BEGINNING_MIN,
    CLOSE_MAX,
    LISTED_MAX,
    Named,
    Reading,
    choose,
    choose_kept,
    close,
    close_runs,
    did_you_mean,
    listed,
    readings,
)

ALICE = "3f2a9c10-1111-4111-8111-111111111111"
BOB = "3f2a9c10-2222-4222-8222-222222222222"
CAROL = "77777777-3333-4333-8333-333333333333"


def run(uuid: str, name: str, id: str = "", project: str = "sweep", namespace: str = "me") -> Named:
    return Named(uuid, name, id, namespace, project)


def chosen(text: str, *runs: Named) -> list[str]:
    return [each.uuid for each in choose(text, runs, lambda names: names).runs]


@pytest.mark.parametrize(
    "text", [ALICE, ALICE.upper(), "job-7", "trial 5", "trial-5", "3f2a", "3F2A9C", "job-", "tria", "sweep/trial 5"]
)
def test_a_run_is_found_by_each_of_its_names(text):
    assert chosen(text, run(ALICE, "trial 5", "job-7"), run(CAROL, "other", "else")) == [ALICE]


@pytest.mark.parametrize(
    ("text", "runs", "found"),
    [
        (ALICE, [run(BOB, ALICE), run(CAROL, "x", ALICE), run(ALICE, "y")], ALICE),
        ("same", [run(ALICE, "same"), run(BOB, "x", "same")], BOB),
        ("a-b", [run(ALICE, "a b"), run(BOB, "a-b")], BOB),
        ("train-1", [run(ALICE, "train-10"), run(BOB, "train 1")], BOB),
    ],
    ids=["uuid before id and name", "id before name", "name before slug", "slug before beginning"],
)
def test_what_is_more_exact_comes_first(text, runs, found):
    assert chosen(text, *runs) == [found]


@pytest.mark.parametrize("text", ["3f2a", "trial", "sweep/tria"])
def test_a_beginning_of_two_runs_names_both(text):
    choice = choose(text, [run(ALICE, "trial-1"), run(BOB, "trial-2")], lambda names: names)
    assert [each.uuid for each in choice.runs] == [ALICE, BOB]
    assert choice.by_beginning


def test_a_beginning_counts_from_four_characters_and_an_exact_name_from_one():
    assert BEGINNING_MIN == 4
    assert chosen("abc", run(ALICE, "abcd")) == []
    assert chosen("abcd", run(ALICE, "abcde")) == [ALICE]
    assert chosen("a", run(ALICE, "a"), run(BOB, "ab")) == [ALICE]


def test_only_a_beginning_is_reported_as_one():
    for text, by_beginning in [("trial", False), ("tria", True), (ALICE, False), (ALICE[:9], True)]:
        assert choose(text, [run(ALICE, "trial")], lambda names: names).by_beginning is by_beginning


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("lr/1e-3", [ALICE]),  # the name
        ("sweep/lr/1e-3", [ALICE]),
        ("me/sweep/lr/1e-3", [ALICE]),
        ("other/1e-3", [BOB]),  # a project, and a name
        ("me/other/1e-3", [BOB]),
        ("you/other/1e-3", []),
        ("lr/", []),
        ("lr/1e", [ALICE]),  # its beginning
    ],
)
def test_a_name_may_have_slashes_in_it(text, found):
    assert chosen(text, run(ALICE, "lr/1e-3"), run(BOB, "1e-3", project="other")) == found


def test_a_text_that_names_a_run_each_way_it_can_be_read_names_both():
    assert chosen("a/b", run(ALICE, "a/b"), run(BOB, "b", project="a")) == [ALICE, BOB]


def test_a_project_is_found_by_the_name_that_people_gave_it():
    assert chosen("My Sweep/x", run(ALICE, "x", project="my-sweep")) == [ALICE]


@pytest.mark.parametrize("end", ["", "/", "/#token=abc", "/?x=1#token=abc"])
def test_the_address_of_a_page_names_its_run_alone(end):
    address = f"http://127.0.0.1:8787/me/projects/sweep/runs/trial-5{end}"
    assert chosen(address, run(ALICE, "trial 5"), run(BOB, "trial 5", project="other")) == [ALICE]


def test_the_address_of_something_else_is_read_as_a_name():
    assert readings("http://host/x")[0] == Reading(None, None, "http://host/x")


def test_the_same_name_in_two_projects_names_both_and_with_the_project_one():
    runs = run(ALICE, "x"), run(BOB, "x", project="other")
    assert chosen("x", *runs) == [ALICE, BOB]
    assert chosen("other/x", *runs) == [BOB]


def test_a_run_that_is_known_twice_is_one():
    assert chosen("trial", run(ALICE, "trial"), run(ALICE, "trial")) == [ALICE]


def test_runs_without_a_uuid_are_each_their_own():
    assert len(choose("trial", [run("", "trial"), run("", "trial")], lambda names: names).runs) == 2


@pytest.mark.parametrize("text", ["", "/", "//", "sweep/"])
def test_what_names_nothing_finds_nothing(text):
    assert chosen(text, run(ALICE, "trial"), run("", "")) == []


@given(st.text(), st.text(), st.text(), st.text())
def test_a_run_is_found_by_its_exact_name_whatever_that_is(text, uuid, name, project):
    names = Named(uuid, name, "", "me", project)
    for said in filter(None, (uuid, name)):
        assert choose(said, [names], lambda each: each).runs == (names,)
    choose(text, [names], lambda each: each)  # raises nothing


def test_candidates_are_listed_up_to_five_the_last_ones():
    assert listed([run(ALICE, "x"), run(BOB, "y", project="", namespace="")]) == f"me/sweep/x ({ALICE}), y ({BOB})"
    seven = listed([run(str(number), "x") for number in range(7)])
    assert LISTED_MAX == 5
    assert [f"({number})" in seven for number in range(7)] == [False] * 2 + [True] * 5
    assert seven.endswith(" and 2 more")


KEPT = [("aaaa1111", ALICE, "trial", "job-7"), ("aaaa2222", BOB, "trial", ""), ("cccc3333", "", "other", "")]


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("aaaa1111", [0]),
        (ALICE, [0]),
        ("job-7", [0]),
        ("trial", [0, 1]),  # several of one name, as before an id
        ("aaaa1", [0]),
        ("AAAA1", [0]),
        ("cccc", [2]),
        ("3f2a9c10-2", [1]),
        ("job-", [0]),
        ("tria", []),  # of ids and uuids alone
        ("ccc", []),
        ("", []),
    ],
)
def test_a_run_that_waits_here_is_called_by_its_names_or_the_beginning_of_its_ids(text, found):
    assert choose_kept(text, KEPT, lambda names: names) == [KEPT[index] for index in found]


@pytest.mark.parametrize(("text", "ids"), [("aaaa", [ALICE, BOB]), ("3f2a9c10", [ALICE, BOB])])
def test_the_beginning_of_several_runs_that_wait_here_is_refused_with_their_uuids(text, ids):
    """It named them by their ids on this host, which ``ls`` does not show of a run that a server has."""
    with pytest.raises(ValueError, match=f"is the beginning of 2 runs on this machine: {', '.join(ids)}"):
        choose_kept(text, KEPT, lambda names: names)


def test_the_journals_of_one_run_that_wait_here_are_one_run():
    journals = [("aaaa1111", ALICE, "trial", ""), ("bbbb2222", ALICE, "trial", "")]
    assert choose_kept("3f2a9c", journals, lambda names: names) == journals


def test_close_names_are_a_few_and_the_closest_comes_first():
    assert close("los", ["accuracy", "loss", "LOSSES", "lost", "lose"]) == ["lost", "loss", "lose"]
    assert close("Train/Loss", ["train/loss", ""]) == ["train/loss"]
    assert close("loss", ["accuracy"]) == []
    assert len(close("a", ["ab", "ac", "ad", "ae"])) == CLOSE_MAX


@pytest.mark.parametrize(
    ("text", "like"),
    [
        ("tiral-1", ["trial-1"]),
        ("sweep/tiral-1", ["sweep/trial-1"]),
        ("me/sweep/TRIAL-l", ["me/sweep/trial-1"]),
        ("swep/trial-1", ["sweep/trial-1"]),
        ("joob", ["job"]),
        ("sweep/nothing", []),
    ],
)
def test_a_run_like_a_text_is_named_with_as_much_of_its_place_as_the_text(text, like):
    runs = [run(ALICE, "trial-1"), run(BOB, "else", "job"), run(CAROL, "apart", project="other")]
    assert close_runs(text, runs) == like


def test_a_run_that_is_like_a_text_by_name_and_id_is_named_once():
    assert close_runs("trail", [run(ALICE, "trial", "trial_"), run(BOB, "trails")]) == ["trails", "trial"]


def test_close_names_are_asked_for_in_words():
    assert [did_you_mean(names) for names in ([], ["a"], ["a", "b"], ["a", "b", "c"])] == [
        "",
        "; did you mean 'a'?",
        "; did you mean 'a' or 'b'?",
        "; did you mean 'a', 'b' or 'c'?",
    ]
