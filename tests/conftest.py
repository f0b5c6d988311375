import gc

import torch

torch.set_num_threads(1)  # on tensors as small as the tests' and a busy machine, threads that wait cost a hundredfold


def pytest_collection_finish():
    gc.enable()  # importing what scripts import first switches it off
