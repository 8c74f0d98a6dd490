"""Processes find each other, or say in one line why they do not."""

from __future__ import annotations

import socket
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from cnnkit.errors import CnnkitError, RuntimeUnavailableError, UsageError
from cnnkit.runtime.meeting import Guest, Host, Meeting, parsed_address


def free_address() -> str:
    with socket.create_server(("127.0.0.1", 0)) as found:
        return f"127.0.0.1:{found.getsockname()[1]}"


def member(address: str, rank: int, count: int, seconds: float = 3.0) -> Meeting | CnnkitError:
    """Join as one process; return the error where there is one."""
    try:
        if rank == 0:
            return Host(address, count, seconds)
        return Guest(address, rank, count, seconds)
    except CnnkitError as error:
        return error


def met(*members: tuple[int, int]) -> list[Meeting | CnnkitError]:
    """Let processes, each a rank and a number of processes, meet in threads."""
    address = free_address()
    with ThreadPoolExecutor(len(members)) as pool:
        joining = [pool.submit(member, address, *one) for one in members]
        return [one.result(30) for one in joining]


def test_all_wait_for_each_other_and_leave_in_any_order() -> None:
    found = met((0, 3), (2, 3), (1, 3))
    assert all(isinstance(one, Meeting) for one in found), found
    with ThreadPoolExecutor(3) as pool:
        assert list(pool.map(lambda one: one.meet(), found)) == [None] * 3
        list(pool.map(lambda one: one.finish(), found))
        list(pool.map(lambda one: one.close(), found))


def test_a_process_that_does_not_come_is_named() -> None:
    error = member(free_address(), 0, 3, seconds=1.0)
    assert isinstance(error, RuntimeUnavailableError)
    told = "The processes must all join within 1 seconds. Received: 1 of 3, without process 1, 2."
    assert str(error) == told


def test_processes_of_different_numbers_are_refused() -> None:
    found = met((0, 2), (1, 3))
    told = "`processes` must be the same for each process. Received: 2 and 3."
    assert [str(error) for error in found] == [told, told]


def test_a_process_given_twice_is_refused() -> None:
    told = "`process_id` must differ for each process. Received: 1 twice."
    found = [str(one) for one in met((0, 3), (1, 3), (1, 3))]
    assert found[0] == told and found.count(told) == 3


def test_nobody_answers() -> None:
    address = free_address()
    error = member(address, 1, 2, seconds=1.0)
    assert isinstance(error, RuntimeUnavailableError)
    assert str(error).startswith(f"`coordinator` must answer within 1 seconds. Received: {address}")


def test_an_address_that_is_taken_is_refused() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        error = member(f"127.0.0.1:{taken.getsockname()[1]}", 0, 2)
    assert isinstance(error, UsageError)
    assert "be a free address of the machine of process 0" in str(error)


def connected(address: str) -> socket.socket:
    """Return a connection to a host that is about to listen."""
    for _ in range(200):
        try:
            return socket.create_connection(parsed_address(address), timeout=5)
        except ConnectionRefusedError:
            time.sleep(0.01)
    raise AssertionError(f"nobody listens at {address}")


def test_a_stranger_is_left_standing() -> None:
    """What connects and is no process of the training neither joins nor disturbs."""
    address = free_address()
    with ThreadPoolExecutor(2) as pool:
        host = pool.submit(member, address, 0, 2)
        with connected(address) as stranger:
            stranger.sendall(b"GET / HTTP/1.1\r\n\r\n")
            assert stranger.recv(1) == b""
        guest = pool.submit(member, address, 1, 2)
        found = [host.result(30), guest.result(30)]
        assert all(isinstance(one, Meeting) for one in found), found
        list(pool.map(lambda one: one.finish(), found))
    for one in found:
        one.close()


@pytest.mark.parametrize("text", ["node1", "node1:", ":29500", "node1:0", "node1:99999", "a:b"])
def test_an_address_is_a_host_and_a_port(text: str) -> None:
    with pytest.raises(UsageError, match="`coordinator` must be HOST:PORT"):
        parsed_address(text)


def test_an_ipv6_address_is_in_brackets() -> None:
    assert parsed_address("[::1]:29500") == ("::1", 29500)
