"""Hand-made tables for the tests of predictions and scores."""

import pytest
from hand_tables import Tables, write_tables


@pytest.fixture(scope="session")
def tables(tmp_path_factory: pytest.TempPathFactory) -> Tables:
    return write_tables(tmp_path_factory.mktemp("hand"))
