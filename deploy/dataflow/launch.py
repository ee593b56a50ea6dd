"""The file that Dataflow's launcher runs: FLEX_TEMPLATE_PYTHON_PY_FILE names it.

Nothing is defined here: what a job pickles must be importable on its workers.
"""

from __future__ import annotations

import sys

from pipelines.dataflow.flex import main

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
