"""What the heads of tables say."""

from reactivation.report.columns import MEANINGS
from reactivation.storage.headers import ABOUT, ACCURACY, BESIDE_AXES, CLAIMS, SWITCHES


def test_every_column_of_a_table_with_a_page_has_a_meaning_and_no_other_has():
    assert {*ABOUT, *SWITCHES, *ACCURACY, *CLAIMS} <= MEANINGS.keys() <= BESIDE_AXES | {*CLAIMS}
