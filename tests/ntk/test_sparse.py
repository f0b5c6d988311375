"""What numba compiles."""

import pytest

from helpers import own_process

# Torch gives this warning for the reference too.
pytestmark = pytest.mark.filterwarnings("ignore:Using padding=.same. with even kernel lengths")


def test_where_no_cache_can_be_written_each_process_compiles():
    code = (
        "from numba.core import caching; caching.CacheImpl._locator_classes = []; from reactivation.ntk import sparse"
    )
    own_process(code)
