"""The driver of `corpusmill curate --annotate`: every page with text is kept, with all signals."""

from __future__ import annotations

from apache_beam.utils.shared import Shared
from rich.console import Console

from pipelines.curate import CurateRequest, settings_of, start
from pipelines.phases.annotate import AnnotateDoFn
from pipelines.record import PhaseWork
from pipelines.run import Run
from schemas.recipe import Recipe
from schemas.run import RunRecordV1
from stages.refine import RefineAssets


def annotate(request: CurateRequest, console: Console, quiet: bool = False) -> RunRecordV1:
    """As curate, with the recipe's decision noted instead of carried out, up to the documents.

    Raises what curate raises.
    """
    plan, workspace = start(request, annotated=True)
    settings = settings_of(request, plan, workspace, console, quiet)
    return AnnotatedRun(plan, workspace, settings).execute()


class AnnotatedRun(Run):
    """Extraction and PII; no deduplication, no shards."""

    def run_phases(self) -> PhaseWork:
        """Both phases; what is done is taken over."""
        return PhaseWork(self._extract(), self._finish())

    def first_phase(self, assets: RefineAssets) -> AnnotateDoFn:
        """What makes the documents out of a task."""
        workers = self.settings.workers
        return AnnotateDoFn(self.workspace, self.plan.recipe, assets, workers, Shared())

    def finishing_recipe(self) -> Recipe:
        """Without decontamination: every document stays."""
        return self.plan.recipe.model_copy(update={"decontamination": None})

    def say_curve(self) -> None:
        """No deduplication, no curve."""
