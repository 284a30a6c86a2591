"""keys.db: numbers for good, addresses only with the key, erasure for good."""

from __future__ import annotations

import pytest
from cemd.errors import StoreError
from cemd.model.customers import ChannelKind
from cemd.store.base import Moment

from tests.store.house import House, Killed

EMAIL, SMS = int(ChannelKind.EMAIL), int(ChannelKind.SMS)


def test_a_reference_keeps_its_number(house: House) -> None:
    assert house.store.keys.numbers(["ann", "bob", "ann"]).tolist() == [0, 1, 0]
    assert house.reopen().keys.numbers(["cid", "bob"]).tolist() == [2, 1]


def test_addresses_come_back_and_digests_are_of_the_normalised_address(house: House) -> None:
    keys = house.store.keys
    keys.numbers(["ann", "bob", "cid"])
    digests = keys.put_addresses([0, 1, 2], EMAIL, [" Ann@Example.net", "ann@example.NET ", ""])
    assert digests[0] == digests[1] != 0
    assert digests[2] == 0
    phones = keys.put_addresses([0, 1], SMS, ["+49 (0)170 1", "0049017 01"])
    assert phones[0] == phones[1]
    keys = house.reopen().keys
    assert keys.addresses([2, 1, 0, 9], EMAIL) == [None, "ann@example.NET", "Ann@Example.net", None]
    assert keys.put_addresses([0], EMAIL, ["ann@example.net"])[0] == digests[0]


def test_an_empty_address_removes_the_one_before(house: House) -> None:
    keys = house.store.keys
    keys.numbers(["ann"])
    keys.put_addresses([0], EMAIL, ["ann@example.net"])
    assert keys.put_addresses([0], EMAIL, [""]).tolist() == [0]
    assert keys.addresses([0], EMAIL) == [None]


def test_an_erased_person_never_gets_an_address_again_and_keeps_the_number(house: House) -> None:
    keys = house.store.keys
    keys.numbers(["ann", "bob"])
    keys.put_addresses([0, 1], EMAIL, ["ann@example.net", "bob@example.net"])
    keys.erase(0)
    keys = house.reopen().keys
    assert keys.addresses([0, 1], EMAIL) == [None, "bob@example.net"]
    assert keys.numbers(["ann", "cid"]).tolist() == [0, 2]
    assert keys.put_addresses([0], EMAIL, ["ann@example.net"]).tolist() == [0]
    assert keys.addresses([0], EMAIL) == [None]


@pytest.mark.parametrize("moment", [Moment.BEFORE, Moment.WITHIN], ids=str)
def test_a_kill_while_addresses_are_put_keeps_none_of_them(house: House, moment: Moment) -> None:
    house.store.keys.numbers(["ann", "bob"])
    house.strike.at = ("keys.put_addresses", moment)
    with pytest.raises(Killed):
        house.store.keys.put_addresses([0, 1], EMAIL, ["ann@example.net", "bob@example.net"])
    assert house.reopen().keys.addresses([0, 1], EMAIL) == [None, None]


def test_an_address_for_a_number_that_was_never_given_is_refused(house: House) -> None:
    with pytest.raises(StoreError, match="was never given"):
        house.store.keys.put_addresses([3], EMAIL, ["x@example.net"])
