"""Speed of the pipeline, measured against peers and targets; no test, and nothing that the package needs."""
