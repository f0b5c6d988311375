"""Marks of unfinished results, as Snakemake itself makes and reads them."""

from types import SimpleNamespace

import pytest
from snakemake.persistence.file import FilePersistence

from reactivation.planning.strays import _is_marked, mark_incomplete


@pytest.mark.parametrize("length", [1, 100, 190, 191, 600])
def test_a_mark_is_where_snakemake_looks_for_it(tmp_path, length):
    name = f"results/segments/{'x' * length}/segment.json"
    mark_incomplete([name], tmp_path)
    marks = tmp_path / ".snakemake/incomplete"
    (made,) = (path for path in marks.rglob("*") if path.is_file())
    limits = SimpleNamespace(_fetch_max_len=lambda _: 255)
    assert str(made) == FilePersistence._record_path(limits, str(marks), name)
    assert _is_marked(name, tmp_path)
