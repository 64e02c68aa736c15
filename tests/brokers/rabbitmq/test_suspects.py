"""What was let go of unrun, and what is to be thought of what others let go of."""

from greenmicro.brokers.rabbitmq.suspects import UNSEEN_S, Dropped


def test_each_of_several_alike_counts() -> None:
    """And each is used up by one redelivery."""
    dropped = Dropped(10)
    for key in 'aab':
        dropped.add(key)
    assert [dropped.take(key) for key in 'aaabc'] == [True, True, False, True, False]
    assert len(dropped) == 0


def test_the_oldest_are_forgotten() -> None:
    """Memory is bounded."""
    dropped = Dropped(2)
    for key in 'abc':
        dropped.add(key)
    assert [dropped.take(key) for key in 'abc'] == [False, True, True]


def test_the_unseen_are_expected_for_a_while() -> None:
    """So many, until the broker must have noticed that their channel is lost."""
    now = [0.0]
    dropped = Dropped(2, lambda: now[0])
    dropped.expect_unseen(1)
    dropped.expect_unseen(1)
    dropped.note_new()
    assert [dropped.take_unseen() for _ in range(3)] == [True, True, False]
    dropped.expect_unseen(2)
    dropped.note_new()
    now[0] = UNSEEN_S
    assert not dropped.take_unseen()


def test_any_number_is_expected_before_a_new_one() -> None:
    """A broker that was killed flags all that it finds."""
    dropped = Dropped(2)
    assert not dropped.take_unseen()
    dropped.expect_unseen(0)
    assert all(dropped.take_unseen() for _ in range(100))
    dropped.note_new()
    assert not dropped.take_unseen()
