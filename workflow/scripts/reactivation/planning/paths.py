"""The path of each kind of file, with wildcards in braces. Rules repeat these paths literally; a test compares them."""

DATASET = "results/data/{dataset}.h5"
SPLIT = "results/splits/{split}.npz"
PROBE = "results/probes/{probe}.npz"

SEGMENT = "results/segments/{segment}"
CHECKPOINTS = "results/segments/{segment}/checkpoints"
FINAL = "results/segments/{segment}/final.pt"
TRAINING = "results/segments/{segment}/training.csv"
EVALUATION = "results/segments/{segment}/evaluation.csv"
RECORD = "results/segments/{segment}/segment.json"
KERNELS = "results/segments/{segment}/{kernels}.h5"
FUNCTION = "results/segments/{segment}/{function}.csv"
WITHIN = "results/segments/{segment}/within.csv"

RUN = "results/{study}/runs/{run}.csv"
CONVERGENCE = "results/{study}/convergence/{convergence}.csv"
CONVERGENCE_ORIGIN = "results/{study}/convergence/{convergence}.json"
FIGURE = "results/{study}/figures/{figure}.pdf"
FIGURE_PICTURE = "results/{study}/figures/{figure}.png"
FIGURE_TABLE = "results/{study}/figures/{figure}.csv"
FIGURE_ORIGIN = "results/{study}/figures/{figure}.json"
SWITCHES = "results/{study}/reactivation.csv"
ACCURACY = "results/{study}/accuracy.csv"
FILES = "results/{study}/files.csv"
CLAIMS = "results/{study}/claims.csv"
CLAIMS_TEXT = "results/{study}/claims.md"
FOREST = "results/{study}/claims.pdf"
FOREST_PICTURE = "results/{study}/claims.png"
EXPLORER = "results/{study}/explore.html"
TABLE_PAGE = "results/{study}/tables/{table}.html"
CONFIG = "results/{study}/config.yaml"
CONFIG_PAGE = "results/{study}/config.html"

TABLES = ("claims", "reactivation", "accuracy")  # the tables of a study that have pages


def kernels(name: str) -> str:
    """The file of the kernels that a plan calls `name`, "<segment>/ntk-<hash>"."""
    segment, _, last = name.partition("/")
    return KERNELS.format(segment=segment, kernels=last)


def function(name: str) -> str:
    """The table that a plan calls `name`, "<segment>/function-<hash>"."""
    segment, _, last = name.partition("/")
    return FUNCTION.format(segment=segment, function=last)
