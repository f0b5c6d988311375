"""Names that a figure or a study cannot have, because the workflow uses them."""

TOOLS = ("budget", "prune", "verify")  # targets that only look: they make no results
RULES = (
    *("dataset", "split", "probe", "train", "ntk", "function", "within", "metrics", "convergence", "figure"),
    *("switches", "claims", "explore", "table", "resolved"),
)
TARGETS = ("all", "figures", *RULES, *TOOLS)
# Folders that all studies share under results/; a study of the same name would overwrite them.
FOLDERS = ("data", "splits", "probes", "segments", "logs")
