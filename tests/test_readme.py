"""The README tells the truth."""

from pathlib import Path

from greenmicro import settings

README = Path(__file__).parents[1] / 'README.md'


def test_the_config_table_is_that_of_the_code() -> None:
    """Every key of the config is in the README, with the default and the unit that the code has."""
    _, _, rest = README.read_text().partition('<!-- config table -->\n')
    table, _, _ = rest.partition('<!-- end of config table -->')
    assert table.strip() == settings.document().strip()
