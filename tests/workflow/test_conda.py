"""`snakemake --sdm conda`: each rule's script runs in its own environment and takes nothing from Snakemake's.

Environments are made by rattler's solver and installer, from a local channel of what is installed (conda/channel.py).
"""

import json
import os
import platform
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest
import yaml

from helpers import ENVIRONMENTS, REPOSITORY, TINY, call, changed, copy_repository, finished

pytest.importorskip("rattler", reason="py-rattler is not installed (make .venv/development)")
pytest.importorskip("zstandard", reason="zstandard is not installed (make .venv/development)")
pytestmark = pytest.mark.skipif(
    (sys.platform, platform.machine()) != ("linux", "x86_64"), reason="the local channel is one of linux-64"
)

# Snakemake and its own dependencies only, so that a job that finds NumPy, say, found it in its environment.
CONTROLLER = {"channels": ["conda-forge", "bioconda"], "dependencies": ["python", "snakemake-minimal"]}
RESULTS = [
    *("build_dataset", "split_dataset", "choose_probe", "train_segment", "compute_kernels", "measure_within_tasks"),
    *("compute_metrics", "draw_figure"),
]
REPORT = ["measure_switches", "judge_claims", "write_explorer", "write_config", "write_table_page"]
# Each job writes down where it runs and what it loaded. This goes into the library's __init__.py, which all import.
PROBE = """
import atexit, json, os, sys
from pathlib import Path

def record():
    specs = [getattr(module, "__spec__", None) for module in list(sys.modules.values())]
    origins = sorted({spec.origin for spec in specs if spec and os.path.isabs(spec.origin or "")})
    script = Path(sys.argv[0]).name.split(".")[-2]
    found = {"script": script, "prefix": sys.prefix, "origins": origins}
    Path(f"probe-{os.getpid()}.json").write_text(json.dumps(found))

if "/.snakemake/scripts/" in sys.argv[0]:
    atexit.register(record)
"""
# What jobs may find among Snakemake's packages: its own, for `snakemake.input` and the like, and what torch, itables
# and SciPy try to import.
SHARED = ("snakemake", "platformdirs", "tabulate", "charset_normalizer")


@pytest.fixture(scope="module")
def conda(tmp_path_factory):
    """A folder that holds conda (in bin/), its channels, its environments (env/), and Snakemake alone (controller/)."""
    folder = tmp_path_factory.mktemp("conda")
    channel = REPOSITORY / "tests/conda/channel.py"
    subprocess.run([sys.executable, channel, folder, *(REPOSITORY / "envs").glob("*.yaml")], check=True)
    file = folder / "controller.yaml"
    file.write_text(yaml.safe_dump(CONTROLLER))
    create(folder, file, folder / "controller").check_returncode()
    yield folder
    shutil.rmtree(folder)  # pytest would keep it, and it is large


def create(conda, file, prefix):
    command = [conda / "bin/conda", "env", "create", "--file", file, "--prefix", prefix]
    return subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


@pytest.fixture
def clone(tmp_path):
    """A copy of the repository whose jobs leave a record of the modules that they load."""
    folder = copy_repository(tmp_path / "clone")
    with (folder / "workflow/scripts/reactivation/__init__.py").open("a") as file:
        file.write(PROBE)
    return folder


def snakemake(conda, folder, *arguments, config=None, controller="controller", path=("bin",)):
    """`snakemake <arguments>` in `folder`, with only the controller, conda (in `path`) and the system on PATH."""
    called = call(folder, *arguments, config=config)
    places = [conda / place for place in (f"{controller}/bin", *path)]
    called["args"][0] = places[0] / "snakemake"
    called["env"] |= {"PATH": ":".join(map(str, [*places, os.defpath])), "SNAKEMAKE_CONDA_PREFIX": str(conda / "env")}
    return subprocess.run(**called, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=600)


def jobs(folder):
    """Each job's script, the name of its environment, and the modules that it loaded from elsewhere."""
    environments = {path.read_text(): path.stem for path in (folder / "envs").glob("*.yaml")}
    for path in folder.glob("probe-*.json"):
        record = json.loads(path.read_text())
        made_from = Path(record["prefix"] + ".yaml").read_text()  # Snakemake's copy, beside the environment
        own = tuple(f"{place}/" for place in (record["prefix"], folder / "workflow/scripts"))
        elsewhere = [
            origin
            for origin in map(os.path.normpath, record["origins"])
            if not origin.startswith(own) and not shared(origin)
        ]
        yield record["script"], environments[made_from], elsewhere


def shared(origin):
    """Whether a module is Python's own, or one that jobs may take from Snakemake's packages."""
    _, installed, module = origin.partition("/site-packages/")
    return module.startswith(SHARED) if installed else origin.startswith(sysconfig.get_path("stdlib"))


def check_isolated(folder, scripts):
    """Assert that jobs of `scripts` ran, each in the environment of its rule and with nothing from elsewhere."""
    found = list(jobs(folder))
    assert {script for script, *_ in found} == set(scripts)
    for script, environment, elsewhere in found:
        assert script in ENVIRONMENTS[environment] and elsewhere == []


def test_in_environments_only_results_are_those_of_a_run_without_conda_and_tools_run_too(conda, clone, tmp_path):
    """Takes half a minute. Only here do scripts run with no more than what envs/ names for them."""
    config = changed(("seeds", [0]), ("experiments.widths.grid.width", [2]))
    plain = finished(tmp_path / "plain", config)
    for targets in ([], ["budget", "prune"], ["verify"]):
        run = snakemake(conda, clone, *targets, "--sdm", "conda", "--cores", "2", config=config)
        assert run.returncode == 0, run.stdout
    tables = [path.relative_to(plain) for path in plain.glob("results/tiny/**/*.csv")]
    assert len(tables) == 6  # of the figure, the run and the study
    assert all((plain / table).read_bytes() == (clone / table).read_bytes() for table in tables)
    check_isolated(clone, [*RESULTS, *REPORT, "print_budget", "prune_results", "verify_results"])
    assert ("build_dataset", "data", []) in jobs(clone)
    assert (clone / "results/tiny/figures/fig4.pdf").exists()


def test_a_data_set_of_torchvision_is_read_with_torchvision(conda, clone):
    """Takes 5 s; only here is this environment made and used."""
    config = changed(("datasets.glyphs", {"source": "torchvision", "name": "CIFAR10"}))
    run = snakemake(conda, clone, "--sdm", "conda", "--cores", "2", config=config)
    assert run.returncode != 0 and "no readable CIFAR10" in run.stdout
    assert ("build_dataset", "torchvision", []) in jobs(clone)


def test_a_package_that_an_environment_lacks_is_noticed_where_snakemake_has_it(conda, clone):
    """A control for the tests above: a job finds what it lacks among Snakemake's packages, and would go on."""
    environment = clone / "envs/data.yaml"
    lines = environment.read_text().splitlines(keepends=True)
    environment.write_text("".join(line for line in lines if "pydantic" not in line))
    run = snakemake(conda, clone, "prune", "--sdm", "conda", config=TINY)
    assert run.returncode == 0, run.stdout
    [(_, _, elsewhere)] = jobs(clone)
    assert str(conda / "controller/lib/python3.11/site-packages/pydantic/__init__.py") in elsewhere


def test_a_version_that_the_channel_has_not_is_refused(conda, tmp_path):
    """A control for the local channel: only what the solver found to fit is installed."""
    file = tmp_path / "wrong.yaml"
    file.write_text((REPOSITORY / "envs/data.yaml").read_text().replace("numpy=2", "numpy=1"))
    run = create(conda, file, tmp_path / "prefix")
    assert run.returncode != 0 and "No candidates were found for numpy 1" in run.stdout


def test_without_conda_one_line_says_so(conda, clone):
    run = snakemake(conda, clone, "--sdm", "conda", "--cores", "2", "fig4", config=TINY, path=())
    assert run.returncode == 1 and "Traceback" not in run.stdout
    assert "Is conda installed and accessible?" in run.stdout.splitlines()[-1]


def test_snakemakes_own_environment_plans_image_folders_and_knows_slurm(conda, clone):
    """Takes 5 s; only here is this environment made and used."""
    create(conda, REPOSITORY / "envs/snakemake.yaml", conda / "snakemake").check_returncode()
    (clone / "data").mkdir()
    (clone / "data/images.tar").write_bytes(b"\0" * 1024)
    source = {"source": "image_folder", "root": "images.tar", "image_size": 8, "classes": 4}
    config = changed(("datasets.glyphs", source))
    run = snakemake(conda, clone, "-n", "--executor", "slurm", "--jobs", "1", config=config, controller="snakemake")
    assert run.returncode == 0, run.stdout
