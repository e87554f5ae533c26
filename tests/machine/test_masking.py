"""What of a command line is masked, and what is not."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from steplog.machine.masking import COMMAND_CHARACTERS_MAX, command_line, masked

_JWT = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.dozjgNryP4J3jVmNHl0w5N_XgL0n3I9PlFUP0THsR8U"


@pytest.mark.parametrize(
    ("arguments", "shown"),
    [
        (["--api-key", "S3CRET"], "--api-key ***"),
        (["--api-key", "-S3CRET"], "--api-key ***"),
        (["--token=S3CRET"], "--token=***"),
        (["PASSWORD=S3CRET"], "PASSWORD=***"),
        (["-DhfToken=S3CRET"], "-DhfToken=***"),
        (["trainer.wandb_api_key=S3CRET", "lr=1"], "trainer.wandb_api_key=*** lr=1"),
        (["--env", "OPENAI_API_KEY=S3CRET"], "--env OPENAI_API_KEY=***"),
        (["--env=OPENAI_API_KEY=S3CRET"], "--env=OPENAI_API_KEY=***"),
        (["https://me:S3CRET@host/x?token=S3CRET&page=2"], "'https://***@host/x?token=***&page=2'"),
        (["postgresql://u:S3@CRET@host/d"], "postgresql://***@host/d"),
        (["-H", "Authorization: Bearer S3CRET"], "-H 'Authorization: *** ***'"),
        (["-c", "login(api_key='S3CRET x', lr=1)"], """-c 'login(api_key='"'"'***'"'"', lr=1)'"""),
        (['{"secret": "S3 CRET", "lr": 1}'], """'{"secret": "***", "lr": 1}'"""),
        (["--x", "ghp_" + "a1" * 18], "--x ***"),
        (["--x", "sk-proj-" + "a1" * 18], "--x ***"),
        (["--x", "hf_" + "aB" * 17], "--x ***"),
        (["--x", "AKIA" + "A1" * 8], "--x ***"),
        (["--x", _JWT], "--x ***"),
        (["--x", "Zk3" + "a" * 40], "--x ***"),  # as the key of a steplog server
        (["--key1", "S3CRET"], "--key1 ***"),
    ],
)
def test_a_secret_is_masked(arguments, shown):
    assert command_line(["train.py", *arguments]) == f"train.py {shown}"


@pytest.mark.parametrize(
    "argument",
    [
        "--max-tokens=512",
        "--pad-token=<pad>",
        "--tokenizer=gpt2",
        "--label-key=y",
        "--keyboard=us",
        "--monkey=1",
        "--author=me",
        "--out=runs/2026-11-26",
        "--url=https://host/path@2",
        "--commit=0123456789abcdef0123456789abcdef01234567",
        "--lr=1e-3",
    ],
)
def test_what_is_no_secret_is_shown(argument):
    assert command_line([argument]).strip("'") == argument


def test_the_flag_before_another_option_hides_nothing():
    assert command_line(["x", "--use-auth", "--lr", "1"]) == "x --use-auth --lr 1"


@given(st.lists(st.text(max_size=30), max_size=5), st.text(alphabet="abcXYZ019", min_size=8, max_size=20))
def test_the_value_of_an_api_key_is_never_shown(others, secret):
    secret = f"<{secret}>"
    for given_as in (["--api-key", secret], [f"--api-key={secret}"], [f"API_KEY={secret}"], [f"api_key: {secret}"]):
        assert secret not in command_line([*[other.replace("'", "").replace('"', "") for other in others], *given_as])


@pytest.mark.parametrize("text", ["eyJ", "a-", "token=", "://@", "a=", "''", "-----BEGIN ", "key: ", "x", " "])
def test_a_long_command_is_cut_and_still_masked(text):
    shown = command_line([f"--password=S3CRET {text * 200_000}", "--password", "S3CRET"])
    assert len(shown) <= COMMAND_CHARACTERS_MAX
    assert "S3CRET" not in shown + masked(f"{text * 5000} password=S3CRET")
