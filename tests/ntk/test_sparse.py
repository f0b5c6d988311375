"""What numba compiles."""

import importlib.util

from numba.core import caching

from reactivation.ntk import sparse


def test_where_no_cache_can_be_written_each_process_compiles(monkeypatch):
    """A second copy of the module finds no folder for its cache; the first one keeps its own."""
    monkeypatch.setattr(caching.CacheImpl, "_locator_classes", [])
    spec = importlib.util.spec_from_file_location("sparse_without_cache", sparse.__file__)
    again = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(again)
    found = [again._count._cache, sparse._count._cache]
    assert [type(cache).__name__ for cache in found] == ["NullCache", "FunctionCache"]
