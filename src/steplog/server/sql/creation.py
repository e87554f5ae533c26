"""Creating a run, or finding the one that is meant, in one transaction.

A request may carry an idempotency key: ``id:`` and the id that the caller chose, or a random one. Looked for, in this
order, is the run made with that key, the run whose uuid the id is, and, with ``resume`` and without an id, the run that
has the name now.

::

    resume   found                         not found
    None     it (by name never)            made; a taken name gets a number
    allow    it                            made
    must     it                            UnknownRunError
    never    ExistsError, but a run made   made
             by the same maker: it

- A maker that asks again, since an answer was lost, gets the run that it made, whatever it asks for.
- A random key of a run that was deleted (a tombstone) raises DeletedError: a late request makes no run again. An id is
  free once its run is in the trash.
"""

from __future__ import annotations

import random
import uuid

from slugify import slugify

from steplog.server.sql import generations, runs
from steplog.server.sql.connection import Connection
from steplog.server.store_types import (
    ID_PREFIX,
    Creation,
    DeletedError,
    ExistsError,
    MissingError,
    RunRow,
    UnknownRunError,
)

__all__ = ["create"]

_FIRST_WORDS = (  # noqa: SIM905 - a text, not a column of words
    "amber bold brave bright brisk calm clever cosmic crisp curious daring dreamy eager fancy fluffy gentle golden "
    "happy humble icy jolly keen lively lucky mellow merry mighty misty nimble noble patient proud quick quiet "
    "rapid shiny silent smooth sunny swift tender tidy vivid warm wild wise witty young zesty"
).split()
_SECOND_WORDS = (  # noqa: SIM905
    "apple bagel basil berry biscuit bread brownie carrot cashew cherry cocoa cookie curry dumpling falafel fig "
    "ginger granola gravy hazelnut honey kiwi lemon lentil mango maple melon muffin noodle nutmeg olive onion "
    "pancake pasta peach pepper pickle pizza pretzel pumpkin radish ramen rice saffron sorbet soup taco toffee waffle"
).split()


def create(connection: Connection, project_id: int, user_id: int, asked: Creation) -> tuple[RunRow, bool]:
    """The run, and whether it was made now.

    Raises MissingError without a project, UnknownRunError, ExistsError, DeletedError.
    """
    if connection.execute("SELECT 1 FROM projects WHERE id = ? AND deleted IS NULL", (project_id,)).fetchone() is None:
        raise MissingError("the project does not exist")
    found = _found(connection, project_id, asked)
    if found is None and asked.resume == "must":
        raise UnknownRunError(f"There is no run {_what(asked)} in this project.")
    if found is None:
        return _made(connection, project_id, user_id, asked), True
    if asked.resume == "never" and (asked.maker is None or asked.maker != found.made_by):
        raise ExistsError(f"There is a run {_what(asked)} in this project.", found)
    return found, False


def _found(connection: Connection, project_id: int, asked: Creation) -> RunRow | None:
    chosen = None
    if asked.key is not None:
        found = runs.by_key(connection, project_id, asked.key)
        if found is not None:
            return found
        if asked.key.startswith(ID_PREFIX):
            chosen = asked.key[len(ID_PREFIX) :]
        elif connection.execute(
            "SELECT 1 FROM tombstones WHERE project = ? AND idempotency_key = ?", (project_id, asked.key)
        ).fetchone():
            raise DeletedError("The run was deleted.")
    if chosen is not None:
        return runs.by_uuid_in(connection, project_id, chosen)
    if asked.resume is not None and asked.name is not None:
        return runs.by_name(connection, project_id, asked.name)
    return None


def _made(connection: Connection, project_id: int, user_id: int, asked: Creation) -> RunRow:
    name = asked.name
    if name is None:
        name = f"{random.choice(_FIRST_WORDS)}_{random.choice(_SECOND_WORDS)}_{random.randint(100, 999)}"
    name, created = runs.free_name(connection, project_id, name), runs.now_text()
    run_uuid = str(uuid.uuid4())
    connection.execute(
        'INSERT INTO runs (uuid, project, "user", name, slug, description, status, date_created, date_updated, started,'
        " idempotency_key, made_by) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            *(run_uuid, project_id, user_id, name, slugify(name), asked.description, asked.status),
            *(created, created, asked.began, asked.key, asked.maker),
        ),
    )
    (run_id,) = connection.execute("SELECT id FROM runs WHERE uuid = ?", (run_uuid,)).fetchone()
    connection.execute("INSERT INTO progress (run, seen) VALUES (?, ?)", (run_id, created))
    generations.add(connection, run_id, 1, asked.maker, asked.began)
    return runs.by_id(connection, run_id)


def _what(asked: Creation) -> str:
    chosen = asked.key is not None and asked.key.startswith(ID_PREFIX)
    return f"with the id {(asked.key or '')[len(ID_PREFIX) :]}" if chosen else f"named {asked.name}"
