"""How far the functions of a network and its twin are apart."""

import pytest

from reactivation.training.function_distance import function_rows, logits
from reactivation.training.linearized import linearized
from sample_networks import images
from twins import move, network


def test_distances_of_functions_class_by_class():
    model = network(name="cnn")
    start = {name: value.clone() for name, value in model.state_dict().items()}
    twin = linearized(model)
    data, found = images(12, seed=1), {}
    for name, scale in (("network", 0.1), ("twin", 0.2)):
        model.load_state_dict(start)
        move(model, scale)
        found[name] = {"step": 3, "epoch": 0.5, "model": {k: v.clone() for k, v in model.state_dict().items()}}
    f_lin = logits(twin, data).double()
    model.load_state_dict(found["network"]["model"])
    f = logits(model, data).double()
    model.load_state_dict(start)
    f_start = logits(model, data).double()
    rows = function_rows(model, start, [(found["network"], found["twin"])], {"test": data, "probe": images(3)})
    assert [(row["part"], row["class"]) for row in rows] == [
        *(("test", c) for c in range(4)),
        *(("probe", c) for c in range(3)),
    ]
    for row in rows[:4]:
        mine = data.labels == row["class"]
        assert (row["step"], row["epoch"], row["images"]) == (3, 0.5, 3)
        assert row["distance"] == pytest.approx(float((f - f_lin)[mine].square().mean()), rel=1e-6)
        assert row["change"] == pytest.approx(float((f - f_start)[mine].square().mean()), rel=1e-6)
