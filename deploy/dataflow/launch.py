"""The file that Dataflow's launcher runs: FLEX_TEMPLATE_PYTHON_PY_FILE names it.

It runs a module of the installed package. Nothing is defined here: what a job pickles must be
importable on its workers.
"""

import runpy

runpy.run_module("pipelines.dataflow.flex", run_name="__main__")
