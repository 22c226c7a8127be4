from pathlib import Path

from settings.__main__ import page

PAGE = Path(__file__).parent.parent.parent / "docs" / "configuration.md"


def test_the_configuration_page_is_what_the_models_say():
    assert PAGE.read_text() == page(), "the models have changed: run `make docs`"


def test_the_page_gives_the_defaults_of_list_entries_and_of_each_environment():
    assert "| `versionTable` | a table's name like alembic_version" in page()
    assert "| `alembic_version` |" in page()
    assert "dev: `7`, staging: `7`, prod: `14`" in page()
