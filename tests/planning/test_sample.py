"""Which results are made again to be compared."""

from reactivation.planning.sample import after, choose, groups, kind
from reactivation.planning.stale import Job

SPEC = {"tasks": [1], "model": {"name": "cnn", "width": 2}, "training": {"lr": 0.1}}
LATER = SPEC | {"tasks": [1, 2]}
TWIN = SPEC | {"training": {"lr": 0.1, "dynamics": "linearized"}}


def job(rule, name, needs=(), inputs=(), spec=None):
    return Job(
        rule, list(inputs), [f"{name}/checkpoints", name] if rule == "train" else [name], list(needs), spec, {}, {}
    )


JOBS = [
    job("dataset", "d", spec={"source": "glyphs"}),
    job("train", "a", [0], ["d"], SPEC),
    job("train", "b", [0, 1], ["d", "a"], LATER),
    job("train", "c", [0], ["d"], SPEC | {"model": {"name": "cnn", "width": 64}}),
    job("train", "t", [0], ["d"], TWIN),
    job("ntk", "ka", [1], ["a/checkpoints"], {"segment": SPEC, "kernels": ["sum"]}),
    job("ntk", "kb", [2], ["b/checkpoints"], {"segment": LATER, "kernels": ["sum"]}),
    job("metrics", "m", [5, 6], ["ka", "kb"]),
]
SIZES = {"c": 9, "m": 5}


def chosen(stale, least=1, gone=()):
    return choose(JOBS, stale, least, lambda job: SIZES.get(job.outputs[-1], 1), lambda path: path not in gone)


def test_one_of_each_kind_the_smallest():
    assert kind(JOBS[1]) == kind(JOBS[3]) and len({kind(job) for job in JOBS}) == len(JOBS) - 1
    assert chosen(range(8)) == ([[0], [1], [2], [4], [5], [6], [7]], [])
    assert chosen([1, 3]) == ([[1]], []) and chosen([1, 3], least=2) == ([[1], [3]], [])


def test_if_nothing_is_stale_rules_take_turns():
    assert chosen([], least=4)[0] == [[1], [5], [7], [0]]


def test_a_training_is_made_for_checkpoints_that_are_gone():
    gone = ["a/checkpoints", "b/checkpoints"]
    assert chosen([5], gone=gone) == ([[1, 5]], [])
    assert chosen([1, 5], gone=gone) == ([[1, 5]], [])  # the training is compared as well
    # A later task needs the final weights of the task before.
    assert chosen([6], gone=[*gone, "a"]) == ([], ["ntk"])
    assert chosen([7], gone=["ka"]) == ([], ["metrics"])


def test_no_group_makes_what_another_of_its_jobs_needs():
    assert groups([[0], [1], [2], [4], [5], [7]], JOBS) == [[[0]], [[1], [4]], [[2], [5]], [[7]]]
    assert groups([[1, 5], [4]], JOBS) == [[[4], [1, 5]]]


def test_rules_after_others():
    assert after({"ntk"}, JOBS) == {"ntk", "metrics"} and after({"dataset"}, JOBS) == {job.rule for job in JOBS}
