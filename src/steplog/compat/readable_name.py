"""A name for a run, where a script is to know it before a server has chosen one: ``quiet-otter-417``."""

from __future__ import annotations

import random

__all__ = ["readable_name"]

_FIRST = (
    "able bold brave brisk calm clear crisp deft eager early fair fine firm fond free fresh glad grand happy honest "
    "keen kind lively loyal lucky merry mild neat noble open plain proud quick quiet rapid ready sharp silent smooth "
    "solid sound stout sturdy sunny swift tidy vivid warm wise witty young"
)
_SECOND = (
    "auk badger bat bear beaver bee boar carp cat cod cow crab crane crow deer dog dove duck eel elk emu fawn finch "
    "fox frog goat goose grouse gull hare hawk hen heron horse ibis jay kite koi lark lion lynx mink mole moose moth "
    "mouse mule newt otter owl ox pig pony quail ram raven robin seal shad sheep shrew skunk slug sloth snail snipe "
    "sole squid stag stoat stork swan swift tern toad trout vole wasp whale wolf wren yak"
)
_source = random.SystemRandom()  # a script's own seed is neither used nor moved on


def readable_name() -> str:
    """Of about four million."""
    return f"{_source.choice(_FIRST.split())}-{_source.choice(_SECOND.split())}-{_source.randrange(1000)}"
