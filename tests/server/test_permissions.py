"""What a role gives is what ``docs/team.md`` says; an admin, a service key and the page are none of its rows."""

from __future__ import annotations

from server.permission_table import CELLS, RIGHTS, Cell, may, role_of
from steplog.server.permissions import PAGE, Caller, Facts, Right, allowed, may_create, role_for


def facts(cell: Cell, project_id: int = 7) -> Facts:
    return Facts(1, project_id, *cell)


def test_the_rules_are_those_of_the_document():
    for cell in CELLS:
        for right in RIGHTS:
            assert allowed(*cell, right) == may(role_of(cell), right), (cell, right)
        assert role_for(Caller(3), facts(cell)) == role_of(cell)


def test_an_admin_owns_everything_and_the_page_reads_it():
    for cell in CELLS:
        assert (role_for(Caller(3, is_admin=True), facts(cell)), role_for(PAGE, facts(cell))) == ("OWNER", "READER")


def test_a_service_key_writes_in_its_project_and_nowhere_else_whoevers_it_is():
    for is_admin in (False, True):
        key = Caller(3, is_admin, project_id=7)
        for cell in CELLS:
            assert (role_for(key, facts(cell)), role_for(key, facts(cell, 8))) == ("MEMBER", None)
        assert not key.reads_all
        assert not may_create(key, "OWNER")


def test_members_of_a_namespace_make_projects_and_readers_do_not():
    assert [may_create(Caller(3), role) for role in (None, "READER", "MEMBER", "OWNER")] == [False, False, True, True]
    assert may_create(Caller(3, is_admin=True), None)
    assert not may_create(PAGE, "OWNER")


def test_each_role_may_what_the_one_below_may():
    for cell in CELLS:
        granted = [allowed(*cell, right) for right in (Right.READ, Right.WRITE, Right.OWN)]
        assert granted == sorted(granted, reverse=True)
