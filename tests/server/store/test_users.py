"""Users have keys; a revoked key stays revoked; of the keys that servers were started with, the last one counts."""

from __future__ import annotations

import pytest

from server.stores import ann
from steplog.server.keys import hash_key
from steplog.server.store import Store
from steplog.server.store_types import (
    CONFIGURED,
    GENERATED,
    ISSUED,
    KeyRow,
    MissingError,
    PageToken,
    RefusedError,
    RevokedKeyError,
    SessionRow,
)


def issue(store: Store, key: str, user: str | None = "ann", label: str = "") -> KeyRow:
    return store.issue_key(user, hash_key(key), label).result()


def start(store: Store, key: str, origin: str = GENERATED, user: str = "ann") -> KeyRow:
    return store.put_started_key(store.add_user(user).result(), hash_key(key), origin).result()


def valid(store: Store) -> list[tuple[str, str]]:
    """The user and the origin of each key that is not revoked, oldest first."""
    return [(key.user.username, key.origin) for key in store.all_keys() if key.revoked is None]


def test_a_user_is_added_once_with_a_namespace_and_its_email_changes(store):
    user = store.add_user("Bob Müller").result()
    assert (user.username, user.slug, user.email) == ("Bob Müller", "bob-muller", "bob-muller@localhost")
    assert store.namespace("bob-muller") is not None
    changed = store.add_user("Bob Müller", "bob@example.org").result()
    assert (changed.id, changed.uuid, changed.email) == (user.id, user.uuid, "bob@example.org")
    assert store.add_user("Bob Müller").result() == changed
    with pytest.raises(RefusedError, match="letter or a digit"):
        store.add_user("!").result()


def test_an_issued_key_is_found_by_its_hash(store):
    first, second = issue(store, "first", "ann", "ci"), issue(store, "second", "bob")
    assert (first.user.username, first.label, first.origin, first.revoked, first.last_used) == (
        *("ann", "ci", ISSUED, None, None),
    )
    found = store.keys_of_hashes([hash_key("second"), hash_key("none"), hash_key("first")])
    assert sorted(found, key=lambda key: key.id) == store.all_keys() == [first, second]
    assert store.keys_of_hashes([]) == []
    assert store.key(second.id) == second
    with pytest.raises(MissingError):
        store.key(second.id + 1)


def test_a_key_of_nobody_is_the_servers_users(store):
    with pytest.raises(MissingError):
        issue(store, "early", None)
    start(store, "own", user="bob")
    assert issue(store, "key", None).user.username == "bob"


def test_a_revoked_key_keeps_the_date_of_its_first_revocation(store):
    key, other = issue(store, "key"), issue(store, "other")
    store.revoke_keys([key.id]).result()
    revoked = store.key(key.id)
    assert revoked.revoked is not None
    store.revoke_keys([key.id, other.id]).result()
    assert store.key(key.id) == revoked
    assert store.keys_of_hashes([key.hash]) == [revoked], "who asks by the hash hears that it is revoked"
    with pytest.raises(MissingError):
        store.revoke_keys([issue(store, "third").id, 10**6]).result()
    assert valid(store) == [("ann", ISSUED)], "all or none"


def test_a_replaced_key_is_revoked_and_its_successor_has_its_user_and_label(store):
    old = issue(store, "old", "bob", "ci")
    new = store.replace_key(old, hash_key("new")).result()
    assert (new.user, new.label, new.origin, new.revoked) == (old.user, "ci", ISSUED, None)
    assert store.key(old.id).revoked is not None
    with pytest.raises(RevokedKeyError):
        store.replace_key(old, hash_key("again")).result()
    assert store.keys_of_hashes([hash_key("again")]) == []


def test_of_the_keys_of_starts_the_last_counts_and_issued_ones_stay(store):
    assert store.started_key() is None
    issued = issue(store, "issued")
    for key, origin in (("a", CONFIGURED), ("b", GENERATED), ("c", CONFIGURED), ("c", GENERATED)):
        started = start(store, key, origin)
        assert (started.origin, store.started_key()) == (origin, started)
        assert valid(store) == [("ann", ISSUED), ("ann", origin)]
        assert [each.hash for each in store.all_keys()] == [issued.hash, hash_key(key)]
    start(store, "c", GENERATED, "bob")
    assert store.started_key().user.username == "bob"


def test_a_start_with_an_issued_key_leaves_it_an_issued_one(store):
    issue(store, "issued")
    start(store, "own")
    assert start(store, "issued", CONFIGURED).origin == ISSUED
    assert (valid(store), store.started_key()) == ([("ann", ISSUED)], None)


def test_a_start_with_a_revoked_key_is_refused(store):
    key = start(store, "own")
    store.revoke_keys([key.id]).result()
    assert store.started_key() is None
    with pytest.raises(RevokedKeyError, match="was revoked on"):
        start(store, "own")


def test_the_hour_of_use_is_noted_for_the_keys_that_were_used(store):
    used, unused = issue(store, "used"), issue(store, "unused")
    store.note_use([used], "2026-01-01T05:00:00+00:00").result()
    assert [store.key(key.id).last_used for key in (used, unused)] == ["2026-01-01T05:00:00+00:00", None]
    store.note_use([], "2026-01-01T06:00:00+00:00").result()


def test_the_pages_token_is_replaced_by_who_knows_the_present_one(store):
    assert store.page_token() is None
    first, second, third = (PageToken(f"token {number}", f"2026-01-0{number}") for number in (1, 2, 3))
    assert store.put_page_token(first, None).result() == first
    assert store.put_page_token(second, None).result() == first, "another server was before it"
    assert store.put_page_token(second, first).result() == second
    assert store.put_page_token(third, first).result() == second
    assert store.page_token() == second


def test_two_users_do_not_share_runs_keys_or_email(store):
    user, other = ann(store), store.add_user("bob").result()
    assert (user.id != other.id, user.uuid != other.uuid, user.email != other.email) == (True, True, True)


FAR = "2999-01-01T00:00:00+00:00"
TOKEN = PageToken("token", "2026-01-01")


def sessions(store, *names: str) -> list[str]:
    """Which of these sessions count."""
    by_hash = {hash_key(name): name for name in names}
    return [by_hash[row.hash] for row in store.sessions_of_hashes(list(by_hash))]


def test_a_session_is_found_with_its_key_until_it_ends(store):
    key = issue(store, "key", "bob")
    store.put_page_token(TOKEN, None).result()
    own, read = SessionRow(hash_key("own"), key, FAR), SessionRow(hash_key("read"), None, FAR)
    store.begin_session(own).result()
    store.begin_session(read, hash_key("token")).result()
    assert store.sessions_of_hashes([own.hash, hash_key("other"), read.hash]) == [own, read]
    store.end_session(own.hash).result()
    store.end_session(own.hash).result()
    assert sessions(store, "own", "read") == ["read"]
    store.begin_session(own, None, read.hash).result()
    (_, replaced) = store.sessions_of_hashes([own.hash, read.hash])
    assert replaced.expires < FAR, "it ends soon"


def test_a_session_does_not_count_once_it_has_expired_and_is_forgotten_then(store):
    key = issue(store, "key")
    store.begin_session(SessionRow(hash_key("old"), key, "2026-01-01T00:00:00+00:00")).result()
    assert sessions(store, "old") == []
    store.begin_session(SessionRow(hash_key("new"), key, FAR)).result()
    store.begin_session(SessionRow(hash_key("old"), key, FAR)).result()
    assert sessions(store, "old", "new") == ["old", "new"]


def test_no_session_begins_with_what_has_just_ended(store):
    """The server takes a key for valid some seconds longer."""
    key = issue(store, "key")
    store.put_page_token(TOKEN, None).result()
    store.revoke_keys([key.id]).result()
    store.put_page_token(PageToken("next", "2026-01-02"), TOKEN).result()
    for session, token in ((SessionRow(b"a", key, FAR), None), (SessionRow(b"b", None, FAR), hash_key("token"))):
        with pytest.raises(MissingError):
            store.begin_session(session, token).result()
    with pytest.raises(MissingError):
        store.begin_session(SessionRow(b"c", None, FAR)).result()
    assert store.sessions_of_hashes([b"a", b"b", b"c"]) == []


def test_sessions_of_a_key_end_with_it_and_readers_with_a_token_that_is_rotated(store):
    store.put_page_token(TOKEN, None).result()
    store.begin_session(SessionRow(hash_key("read"), None, FAR), hash_key("token")).result()
    for name, key in (("issued", issue(store, "key")), ("started", start(store, "own"))):
        store.begin_session(SessionRow(hash_key(name), key, FAR)).result()
    names = ("read", "issued", "started")
    assert sessions(store, *names) == [*names]
    start(store, "another")
    assert sessions(store, *names) == ["read", "issued"], "another start has taken the key's place"
    store.put_page_token(PageToken("next", "2026-01-02"), TOKEN).result()
    assert sessions(store, *names) == ["read", "issued"], "a token that was replaced by itself ends none"
    store.put_page_token(PageToken("third", "2026-01-03"), TOKEN, True).result()
    assert sessions(store, *names) == ["issued"], "also if another has replaced it meanwhile"
    store.revoke_keys([key.id for key in store.all_keys()]).result()
    assert sessions(store, *names) == []


def test_of_more_than_a_thousand_sessions_of_a_key_the_oldest_go(store):
    busy, other = issue(store, "busy"), issue(store, "other")
    hashes = [number.to_bytes(4, "big") for number in range(1003)]
    store.begin_session(SessionRow(b"other", other, FAR)).result()
    for future in [store.begin_session(SessionRow(each, busy, FAR)) for each in hashes]:
        future.result()
    assert [row.hash for row in store.sessions_of_hashes(hashes)] == hashes[3:]
    assert len(store.sessions_of_hashes([b"other"])) == 1
