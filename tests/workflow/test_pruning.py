"""`snakemake prune`, as a user calls it."""

import shutil

from helpers import TINY, changed, copy_repository, planned, snakemake
from plans import HASH, files, fill, named
from reactivation.planning.prune import load_studies
from shared_study import STUDY, WIDTHS


def test_every_config_of_the_repository_loads(tmp_path):
    folder = copy_repository(tmp_path) / "config"
    assert len(load_studies(path for path in folder.glob("*.yaml") if path.name != "schema.yaml")) > 3


def test_the_command(tmp_path):
    """Words and exit status of the command, and that nothing is deleted where it is wrong: rules decide that."""
    folder = copy_repository(tmp_path)
    fill(folder / "results", [*named(), f"segments/a{HASH}/segment.json"])
    run = snakemake(folder, "prune", config=TINY)
    assert run.returncode == 0, run.stdout
    assert "config/config.yaml" in run.stdout and "config/paper.yaml" in run.stdout and "study.yaml" in run.stdout
    assert "schema.yaml" not in run.stdout and "Not named: 10 B in 1 item." in run.stdout
    without = snakemake(folder, "prune").stdout
    assert (
        f"results/{named()[0]}" in without
        and "Left alone: results/tiny (the folder of a study that no config names" in without
    )

    # `delete` is valid only on the command line, with `prune`, and as true or false.
    for arguments, config, reason in (
        (["prune"], changed(("delete", True)), "delete: unknown key"),
        (["-n", "--config", "delete=true"], TINY, "delete: unknown key"),
        (["prune", "--config", "delete=treu"], TINY, "delete: should be true or false (it is 'treu')"),
    ):
        run = snakemake(folder, *arguments, config=config)
        assert run.returncode and reason in run.stdout and "Traceback" not in run.stdout
    assert "Not named: 10 B in 1 item." in snakemake(folder, "prune", "--config", "delete=false", config=TINY).stdout

    broken = folder / "config/broken.yaml"
    broken.write_text("study: broken\n")
    run = snakemake(folder, "prune", "--config", "delete=true", config=TINY)
    assert run.returncode and "Traceback" not in run.stdout
    assert "\nerror: config/broken.yaml does not load, so what it names is not known: seeds: is missing; " in run.stdout
    broken.unlink()
    assert (folder / f"results/segments/a{HASH}/segment.json").exists()

    run = snakemake(folder, "prune", "--config", "delete=true", config=TINY)
    assert run.returncode == 0 and "Deleted: 10 B in 1 item." in run.stdout
    assert files(folder / "results") == sorted(named())


def test_both_leave_another_calls_locks_alone(tmp_path):
    """Snakemake removes all locks when it ends."""
    folder = copy_repository(tmp_path)
    fill(folder, [".snakemake/locks/0.output.lock", f"results/data/a{HASH}.h5"])
    assert snakemake(folder, "prune", config=TINY).returncode == 0
    run = snakemake(folder, "prune", "--config", "delete=true", config=TINY)
    assert run.returncode and "error: another call of Snakemake is at work here" in run.stdout
    assert (folder / ".snakemake/locks/0.output.lock").exists() and (folder / f"results/data/a{HASH}.h5").exists()
    run = snakemake(folder, "budget", config=changed(("flops_per_second", 1e9)))
    assert run.returncode == 0 and (folder / ".snakemake/locks/0.output.lock").exists()
    (folder / ".snakemake/locks/0.output.lock").unlink()
    assert planned(folder, config=TINY)["train"] == 8


def test_a_dry_run_of_prune_deletes_nothing(tmp_path):
    folder = copy_repository(tmp_path)
    fill(folder, [f"results/data/a{HASH}.h5"])
    assert snakemake(folder, "prune", "-n", "--config", "delete=true").returncode == 0
    assert (folder / f"results/data/a{HASH}.h5").exists()


def test_after_pruning_only_what_was_pruned_is_made_again(finished_study, tmp_path):
    folder = shutil.copytree(finished_study, tmp_path / "clone")
    figures = {"fig4": STUDY["figures"]["fig4"]}
    narrow = changed(("figures", figures), ("claims", ...), of=STUDY) | {"experiments": {"widths": WIDTHS}}
    narrow = changed(("experiments.widths.grid.width", [4]), of=narrow)
    run = snakemake(folder, "prune", "--config", "delete=true", config=narrow)
    assert run.returncode == 0 and "tiny/runs/widths-width2-s0.csv" in run.stdout and "-w4-" not in run.stdout
    receipts = [path.relative_to(folder / "results/.made") for path in (folder / "results/.made").rglob("*.json")]
    assert any("-w4-" in str(path) for path in receipts) and not any("-w2-" in str(path) for path in receipts)
    assert planned(folder, config=narrow) == {"figure": 1, "all": 1}
    jobs = {"train": 8, "ntk": 4, "function": 4, "within": 4, "metrics": 8, "figure": 3, "all": 1}
    assert planned(folder, config=STUDY) == jobs
