"""Maps that are written in a thread of their own."""

import threading
import time

import pytest

from cropmap_jax.mapping.writing import Writing


def test_all_are_written_in_their_order_also_after_an_error():
    done = []
    with pytest.raises(KeyboardInterrupt), Writing() as writers:
        for number in range(5):
            writers.add(lambda number=number: (time.sleep(0.01), done.append(number)), 10)
        raise KeyboardInterrupt
    assert done == list(range(5))


@pytest.mark.parametrize("later", [0, 3])
def test_what_a_writer_raises_reaches_the_one_who_asked(later):
    def full():
        raise OSError(28, "disk full")

    with pytest.raises(OSError, match="disk full"), Writing() as writers:
        writers.add(full, 1)
        for _ in range(later):
            time.sleep(0.01)
            writers.add(lambda: None, 1)


def test_no_more_waits_than_memory_allows():
    gate, running = threading.Event(), []

    def write():
        running.append(1)
        gate.wait(10)

    with Writing(limit=100) as writers:
        writers.add(write, 60)
        writers.add(write, 40)
        late = threading.Thread(target=writers.add, args=(write, 1))
        late.start()
        late.join(0.1)
        assert late.is_alive()  # it would be the 101st byte
        gate.set()
        late.join(10)
        assert not late.is_alive()
        writers.add(write, 1000)  # larger than the limit: alone
    assert len(running) == 4
