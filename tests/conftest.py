import gc

import matplotlib

matplotlib.use("agg")


def pytest_collection_finish():
    gc.enable()  # importing what scripts import first switches it off
