"""Topic patterns of the memory broker, against a slow and plain reading of the specification."""

from hypothesis import given, settings
from hypothesis import strategies as st

from greenmicro.brokers.memory.exchanges import topic_matches

WORDS = st.lists(st.sampled_from(['a', 'b', '']), max_size=6)
PATTERNS = st.lists(st.sampled_from(['a', 'b', '*', '#']), max_size=6)


def plainly_matches(pattern: list[str], words: list[str]) -> bool:
    if not pattern:
        return not words
    first, rest = pattern[0], pattern[1:]
    if first == '#':
        return any(plainly_matches(rest, words[skipped:]) for skipped in range(len(words) + 1))
    return bool(words) and first in ('*', words[0]) and plainly_matches(rest, words[1:])


@settings(deadline=None)  # a busy machine is no fault of the matching
@given(PATTERNS, WORDS)
def test_patterns_match_as_specified(pattern: list[str], words: list[str]) -> None:
    """`*` is one word and `#` any number of words, in any combination; an empty key has no words."""
    if words == ['']:
        words = []
    assert topic_matches('.'.join(pattern), '.'.join(words)) == plainly_matches(pattern, words)


def test_many_hashes_take_no_time() -> None:
    """A pattern of hashes does not try every way to split a long key."""
    assert not topic_matches('.'.join(['#', 'a'] * 40) + '.b', '.'.join('a' * 100))
