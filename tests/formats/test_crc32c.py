"""Checksums: the known ones, and those of many messages at once."""

from hypothesis import given
from hypothesis import strategies as st

from formats.events import slow_crc
from steplog.formats.crc32c import PLANES_MAX, crc32c, crc32c_of_planes, masked, masked_lanes


def test_the_checksums_are_those_of_rfc_3720():
    """Its appendix B.4, and the check value that catalogues of CRCs give."""
    assert crc32c(b"123456789") == 0xE3069283
    assert crc32c(bytes(32)) == 0x8A9136AA
    assert crc32c(b"\xff" * 32) == 0x62A8AB43
    assert crc32c(bytes(range(32))) == 0x46DD794E
    assert crc32c(bytes(reversed(range(32)))) == 0x113FDB5C
    assert crc32c(b"") == 0


def test_the_masked_checksum_is_that_of_leveldb_and_tensorflow():
    """The first bytes of any event file: the length 24 and its checksum."""
    assert masked(crc32c(b"\x18" + bytes(7))) == 0x224B7FA3


@given(st.integers(1, 80).flatmap(lambda size: st.lists(st.binary(min_size=size, max_size=size), min_size=1)))
def test_checksums_taken_together_are_those_of_each_message(messages):
    joined, size = b"".join(messages), len(messages[0])
    found = masked_lanes(crc32c_of_planes([joined[place::size] for place in range(size)]), len(messages))
    assert found.to_bytes(8 * len(messages), "little") == b"".join(
        slow_crc(each).to_bytes(8, "little") for each in messages
    )


def test_the_longest_messages_that_are_taken_together_have_their_checksums():
    messages = [bytes((value,)) * PLANES_MAX for value in (0, 1, 255)]
    planes = [bytes(plane) for plane in zip(*messages, strict=True)]
    assert masked_lanes(crc32c_of_planes(planes), 3) == sum(slow_crc(each) << 64 * i for i, each in enumerate(messages))
