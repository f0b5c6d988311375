"""Which stale results may be taken for current, and why others may not."""

import pytest

from reactivation.planning.stale import Job, Verdict, defaults, judge, verdict

CODE = "['train_segment.py:0123456789', 'reactivation/training/loop.py:{}']"
OLD, NEW = CODE.format("aaaaaaaaaa"), CODE.format("bbbbbbbbbb")
NOTHING = {"missing": [], "newer": [], "old": [], "new": []}
NOTHING |= dict.fromkeys(("incomplete", "unrecorded", "inputs", "software"), False)


def job(rule="train", needs=(), **why):
    return Job(rule, [], [f"results/{rule}.h5"], list(needs), None, {}, NOTHING | why)


def test_code_is_named_module_by_module():
    found = verdict(job(old=[OLD], new=[NEW]))
    assert not found.refused and found.code == {"reactivation/training/loop.py": ("aaaaaaaaaa", "bbbbbbbbbb")}
    assert verdict(job("table", old=["'report/table.html:aaaaaaaaaa'"], new=["'report/table.html:bbbbbbbbbb'"])).code


@pytest.mark.parametrize(
    "old, new, words",
    [
        (["{'a': 1, 'b': [{'c': 2}]}"], ["{'b': [{'c': 2}], 'a': 1}"], "the order of keys"),
        (["{'a': 1}"], ["{'a': 1, 'held_out': 0, 'log_spaced': True}"], "keys at their defaults: held_out, log_spaced"),
        (["{'b': [{'c': 2}]}"], ["{'b': [{'c': 2, 'held_out': 0}]}"], "keys at their defaults: held_out"),
    ],
)
def test_what_else_may_differ(old, new, words):
    found = verdict(job(old=old, new=new))
    assert found.refused is None and found.others == [words]


@pytest.mark.parametrize("old", ["'123 bytes'", "'1 file, 0123456789'", "'300 files, 0123456789'"])
def test_images_that_an_earlier_release_only_counted(old):
    found = verdict(job("dataset", old=[old], new=[repr("a" * 64)]))
    assert not found.refused and found.others == ["how images are identified"]


@pytest.mark.parametrize(
    "why, words",
    [
        ({"missing": ["results/a.csv"]}, "results/a.csv is missing"),
        ({"newer": ["results/a.csv"]}, "results/a.csv is newer than what was made from it"),
        ({"incomplete": True}, "its job was killed"),
        ({"inputs": True}, "it would be made from other files"),
        ({"software": True}, "its software environment is another"),
        ({"old": ["{'a': 1}"], "new": ["{'a': 2}"]}, "its config changed"),
        ({"old": ["{'a': 1}"], "new": ["{'a': 1, 'held_out': 3}"]}, "its config changed"),
        ({"old": ["{'a': 1}"], "new": ["{'a': 1.0}"]}, "its config changed"),
        ({"old": ["{'a': 1, 'held_out': 0}"], "new": ["{'a': 1}"]}, "its config changed"),
        ({"old": [], "new": ["{'a': 1}"]}, "its config changed"),
        ({"old": ["'abc'"], "new": ["'abd'"]}, "its config changed"),
        ({"old": ["nan"], "new": ["1"]}, "its config changed"),
    ],
)
def test_what_may_not_differ(why, words):
    assert verdict(job(**why)).refused.startswith(words)


def test_a_call_that_was_killed_as_it_recorded_a_result():
    killed = job(incomplete=True, old=[OLD], new=[NEW])
    assert judge([killed], lambda _: None, ["train"])[0].refused == "its job was killed"
    found = judge([killed], lambda _: None, ["train"], whole=lambda _: True)[0]
    assert not found.refused and found.others == ["a call that was killed as it recorded them"]


def test_images_that_changed():
    assert verdict(job("dataset", old=[repr("b" * 64)], new=[repr("a" * 64)])).refused == "its images changed"


def test_what_is_made_from_a_refused_result_is_refused():
    code = {"old": [OLD], "new": [NEW]}
    current = Job("metrics", [], ["results/m.csv"], [0], None, {}, {})
    jobs = [job(missing=["results/a.csv"]), current, job("figure", needs=[1], **code), job("ntk", **code)]
    verdicts = judge(jobs, lambda _: None, ["train", "figure", "ntk"])
    assert verdicts.keys() == {0, 2, 3} and verdicts[3].refused is None
    assert verdicts[2].refused == "it is made from results/train.h5, which is made again"
    verdicts = judge(jobs[3:], lambda _: None, ["train"])
    assert verdicts[0].refused == "not among the rules to accept"
    assert judge(jobs[3:], lambda _: "it says 2.12", ["ntk"])[0].refused == "it says 2.12"


def test_defaults_are_those_of_the_schema():
    assert 0 in defaults()["held_out"] and True in defaults()["log_spaced"] and "seeds" not in defaults()


def test_how_results_are_bound_may_differ_but_not_what_that_says():
    """A job that failed left its params on record, though its result is of an earlier one."""
    assert verdict(job(new=["''"])) == Verdict()  # an earlier release recorded nothing of it
    other = "'it was made by other {} (noon)'"
    assert verdict(job(old=[OLD, "''"], new=[NEW, other.format("code")])).refused is None
    assert verdict(job(old=["''"], new=[other.format("code")])).refused is None
    assert verdict(job(old=["''"], new=[other.format("code, other config")])).refused == "its config changed"
    spec = {"old": ["{'a': 1}", "''"], "new": ["{'a': 1, 'held_out': 0}", other.format("config")]}
    assert verdict(job(**spec)).refused is None


def test_kernels_from_elsewhere_are_known_by_their_bytes_now():
    assert verdict(job("metrics", new=["'0123'"])).others == ["how kernels from elsewhere are identified"]
    assert verdict(job("metrics", old=["'0123'"], new=["'4567'"])).refused == "the kernels that it was given changed"
