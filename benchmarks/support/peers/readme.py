"""Puts what a benchmark found into a document, between two markers of its own."""

from pathlib import Path


def put_into(document: Path, name: str, text: str) -> None:
    """Replace what stands between `<!-- name -->` and `<!-- end of name -->`.

    Raises:
        ValueError: The markers are not there.
    """
    begin, end = f'<!-- {name} -->', f'<!-- end of {name} -->'
    before, found, rest = document.read_text().partition(begin)
    _, found_end, after = rest.partition(end)
    if not found or not found_end:
        raise ValueError(f'{document}: wanted the lines {begin!r} and {end!r}')
    document.write_text(f'{before}{begin}\n{text.strip()}\n{end}{after}')
