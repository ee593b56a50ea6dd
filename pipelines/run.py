"""A run: its phases in order, each resumable, and the account."""

from __future__ import annotations

import hashlib
from collections import Counter
from contextlib import suppress
from functools import partial
from typing import Any

import apache_beam as beam
from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.utils.shared import Shared
from rich.console import Console

from pipelines import account, engine, storage, summaries
from pipelines.account import Markers
from pipelines.assets import plan_assets, provide_assets
from pipelines.claim import check_output, claim_output
from pipelines.clocks import Clocks
from pipelines.driver import Driver, Settings
from pipelines.engine import Build
from pipelines.jobs import AllJobs, Job, OnePhase
from pipelines.phase_names import (
    DEDUP,
    EXTRACT,
    FINISH,
    PACK,
    REPORT,
    SUMMARIZE,
    TOKENIZE,
    TOKENIZER,
)
from pipelines.phases import dedup, extract, finish, pack, summarize, tokenize, tokenizer
from pipelines.plan import Plan
from pipelines.reach import on_this_machine
from pipelines.record import PhaseWork, build_record
from pipelines.stale import drop_stale
from pipelines.workspace import Marker, Workspace, read_markers
from schemas.errors import CorpusmillError, ReconcileError
from schemas.recipe import Recipe
from schemas.run import RunRecordV1
from schemas.shards import ShardManifestV1
from stages.dedup import curve
from stages.refine import RefineAssets


class NothingKept(CorpusmillError):
    """The run went to its end, but no document was kept: the account is written all the same."""


class Run(Driver):
    """One execution: the state that phases hand to each other."""

    def __init__(self, plan: Plan, workspace: Workspace, settings: Settings) -> None:
        super().__init__(plan, workspace, settings)
        self._shards: Markers = {}

    def execute(self) -> RunRecordV1:
        """Run to the end and write the account. Raises what curate raises."""
        if self.settings.jobs.begins(EXTRACT):
            self._assets()
        with self.workspace.locked():
            claim = check_output if self.settings.look_only else claim_output
            claim(self.plan, self.workspace, self.settings.resume)
            keep = not self.settings.look_only
            self.clocks = Clocks(self.workspace, self.key, self.watch, keep)
            if self.settings.jobs.begins(DEDUP):
                self.say_curve()
            record = self.carry_out()
        if self.settings.clean:
            storage.remove_folder(self.workspace.work())
        return record

    def carry_out(self) -> RunRecordV1:
        """Every job that is missing, and the account.

        Raises NothingKept after writing the account, when there are no documents.
        """
        path = self.workspace.run_file
        with self.watch.sampling():
            work = self.run_phases()
            self._summarize(work)
            graph = partial(_report_graph, run=self)
            undone, here = "the report is not written", partial(self._conclude, work)
            self.settings.jobs.run(Job(REPORT, REPORT, undone, graph, here))
        record = RunRecordV1.from_bytes(storage.read_bytes(path), path)
        if not record.phases[-1].kept:
            raise NothingKept(
                f"no document was kept of {record.phases[0].in_} records: "
                f"{sum(record.rules.values())} rejected, {sum(record.errors.values())} errors; "
                f"see {self.workspace.path('report.html')}"
            )
        return record

    def run_phases(self) -> PhaseWork:
        """Every phase in order; those that are done are taken over."""
        extracted = self._extract()
        dedup_counts = self._dedup(extracted)
        finished = self._finish()
        kept = account.total(finished.values(), "counts")
        taken = kept["in"] - account.duplicates(finished).total()
        if taken != dedup_counts["counts"]["kept"]:
            raise ReconcileError(
                f"dedup kept {dedup_counts['counts']['kept']} documents, but finish took in "
                f"{taken}: remove {self.workspace.work()} and run again"
            )
        work = PhaseWork(extracted, finished, dedup_counts)
        return self._pack(work) if kept["kept"] else work

    def say_curve(self) -> None:
        """What the recipe's bands find."""
        minhash = self.plan.recipe.dedup.minhash
        if minhash is not None:
            self._say(curve.table(minhash.bands, minhash.rows))

    def _assets(self) -> RefineAssets:
        """Lists for workers here; workers elsewhere have, or build, their own."""
        if on_this_machine(self.settings.options):
            return provide_assets(self.plan.recipe, self._say)
        return plan_assets(self.plan.recipe)

    def first_phase(self, assets: RefineAssets) -> extract.ExtractDoFn:
        """What makes the documents out of a task."""
        workers = self.settings.workers
        return extract.ExtractDoFn(self.workspace, self.plan.recipe, assets, workers, Shared())

    def _extract(self) -> Markers:
        keys = self.plan.task_keys()
        tasks = {task.name: task for task in self.plan.tasks}

        def build(pipeline: beam.Pipeline, missing: list[str]) -> None:
            todo = [(tasks[name], keys[name]) for name in missing]
            first = self.first_phase(self._assets())
            extract.build(pipeline, todo, first, self.workspace.work("lists"))

        with self.clocks.timed("extract"):
            return self._run_tasks(EXTRACT, extract.FOLDER, keys, build)

    def _dedup(self, extracted: Markers) -> dict[str, Any]:
        work = dedup.DedupWork(
            key_files=[extract.task_file(self.workspace, name, "keys") for name in self.names],
            documents=account.total(extracted.values(), "counts")["kept"],
            target=self.workspace.work("clusters"),
            folder=self.workspace.work("dedup"),
            done=Marker(self.workspace.work("dedup.done.json")),
            key=self.key,
            settings=self.plan.recipe.dedup,
            edge_limit=dedup.EDGE_LIMIT,
        )
        with self.clocks.timed("dedup"):
            started, ran = self.watch.cpu_seconds(), False
            for name, graph in work.jobs():
                undone = f"job {name} of dedup is not done"
                build = partial(self._begin_dedup, work, graph)
                self._run_job(DEDUP, f"{DEDUP}-{name}", undone, build)
                ran = True
            content = work.done.read(self.key)
            assert content is not None
            if ran:
                spent = round(self.watch.cpu_seconds() - started, 6)
                content["cpu_seconds_by_step"] = {"dedup": spent}
                work.done.write(self.key, content, self._cluster_files())
            storage.remove_folder(work.folder)
            return content

    def _begin_dedup(self, work: dedup.DedupWork, graph: Build, pipeline: beam.Pipeline) -> None:
        """What an earlier deduplication left is not to be taken for this one's."""
        if not self.settings.look_only:
            storage.remove(work.done.path)
            storage.remove_folder(self.workspace.path("clusters"))
        graph(pipeline)

    def _cluster_files(self) -> list[str]:
        return storage.list_files(self.workspace.work("clusters"), ".parquet")

    def finishing_recipe(self) -> Recipe:
        """The recipe by which documents are finished."""
        return self.plan.recipe

    def _finish(self) -> Markers:
        def build(pipeline: beam.Pipeline, missing: list[str]) -> None:
            finish.build(
                pipeline,
                missing,
                self.key,
                self._cluster_files(),
                self.workspace,
                self.finishing_recipe(),
                self.settings.workers,
            )

        with self.clocks.timed("finish"):
            keys = dict.fromkeys(self.names, self.key)
            return self._run_tasks(FINISH, finish.FOLDER, keys, build)

    def _pack(self, work: PhaseWork) -> PhaseWork:
        train_bytes = sum(content["train_bytes"] for content in work.finished.values())
        with self.clocks.timed("pack"):
            trained = self._tokenizer(train_bytes)
        with self.clocks.timed("pack"):
            tokenized = self._tokenize()
        with self.clocks.timed("pack"):
            self._shards = self._merge(account.total(tokenized.values(), "tokens"))
        steps = account.total([trained], "cpu_seconds_by_step")
        steps.update(account.total(tokenized.values(), "cpu_seconds_by_step"))
        steps.update(account.total(self._shards.values(), "cpu_seconds_by_step"))
        packed = account.total(self._shards.values(), "counts")
        return work._replace(packed=packed, token_steps=steps)

    def _tokenizer(self, train_bytes: int) -> dict[str, Any]:
        marker = tokenizer.tokenizer_marker(self.workspace)
        before = marker.read(self.key)
        if before is not None:
            return before
        undone, model = "the tokenizer is not there", self.plan.recipe.tokenizer.model
        if model is not None:
            copy = partial(self._copy_tokenizer, model)
            self.settings.jobs.run(Job(TOKENIZER, TOKENIZER, undone, here=copy))
        else:
            graph = partial(
                tokenizer.build,
                settings=self.plan.recipe.tokenizer,
                names=self.names,
                key=self.key,
                workspace=self.workspace,
                train_bytes=train_bytes,
            )
            self._run_job(TOKENIZER, TOKENIZER, undone, graph)
        storage.remove_folder(self.workspace.work("sample"))
        content = marker.read(self.key)
        if content is None:
            raise ReconcileError("the tokenizer was not made; run the same command again")
        return content

    def _copy_tokenizer(self, model: str) -> None:
        self._begin_work()
        tokenizer.copy_tokenizer(model, self.key, self.workspace)

    def _token_key(self) -> str:
        """Tokens and shards depend on the tokenizer, too."""
        model = storage.read_bytes(self.workspace.shards(tokenizer.FILE_NAME))
        return hashlib.sha256(self.key.encode() + model).hexdigest()

    def _tokenize(self) -> Markers:
        seed, key, workers = self.plan.recipe.shards.seed, self._token_key(), self.settings.workers

        def build(pipeline: beam.Pipeline, missing: list[str]) -> None:
            tokenize.build(pipeline, missing, key, self.workspace, seed, workers)

        return self._run_tasks(TOKENIZE, tokenize.FOLDER, dict.fromkeys(self.names, key), build)

    def _merge(self, tokens_by_split: Counter[str]) -> Markers:
        shards = pack.plan_shards(tokens_by_split, self.plan.recipe.shards.tokens_per_shard)
        key, total = self._token_key(), sum(tokens_by_split.values())
        keys = {shard.marker_name: key for shard in shards}
        done = read_markers(self.workspace.work(pack.FOLDER), keys)
        # A range of keys without documents leaves no shard: tokens tell, not the number of shards.
        if _tokens_of(done) != total:
            graph = partial(
                pack.build,
                tasks=self.names,
                shards=shards,
                workspace=self.workspace,
                dtype=tokenizer.load_tokenizer(self.workspace).dtype,
                key=key,
                done=frozenset(done),
            )
            undone = f"{_tokens_of(done)} of {total} tokens are in shards"
            self._run_job(PACK, PACK, undone, graph)
            done = read_markers(self.workspace.work(pack.FOLDER), keys)
        if _tokens_of(done) != total:
            raise ReconcileError(
                f"{total} tokens were made, but the shards hold {_tokens_of(done)}"
            )
        return done

    def _summarize(self, work: PhaseWork) -> None:
        """Facts of the rows, by the workers where the report cannot read all rows in good time."""
        rows = account.total(work.extracted.values(), "counts")["in"]
        finished = self._account_stands and storage.exists(self.workspace.run_file)
        if finished or rows <= summaries.ROWS_AT_ONCE:
            return
        parts = summaries.plan_parts(self.key, self.names, self._cluster_files())
        undone = summaries.missing(self.workspace, parts)
        if undone:
            recipe = self.plan.recipe
            graph = partial(summarize.build, parts=undone, workspace=self.workspace, recipe=recipe)
            line = f"{len(undone)} of {len(parts)} parts of the rows are not summarized"
            if self.settings.jobs.begins(SUMMARIZE):
                self._say(f"summarize: counting {rows:,} rows for the report")
            # The files of the run stay as they are: its parts that are done stay, too.
            self.settings.jobs.run(Job(SUMMARIZE, SUMMARIZE, line, graph))
        if summaries.missing(self.workspace, parts):
            raise ReconcileError("parts of the rows were not summarized; run the command again")
        summaries.declare_whole(self.workspace, parts, self.plan.recipe_hash)

    def _conclude(self, work: PhaseWork) -> None:
        """The driver's own work at the end: what is made of all phases together."""
        with self.clocks.timed("pack"):
            work = work._replace(manifest=self._write_manifest(work))
        if work.dedup is not None:
            finish.publish_clusters(self._cluster_files(), self.workspace)
        drop_stale(self.workspace, self.names, work.manifest)
        # Who only submits a job does not come back to what it leaves.
        for folder in ("lists", "sample"):
            storage.remove_folder(self.workspace.work(folder))
        self._write_account(work)

    def _write_manifest(self, work: PhaseWork) -> ShardManifestV1 | None:
        if work.dedup is None:
            return None
        if not self._shards:
            storage.remove_folder(self.workspace.shards())
            return None
        return pack.write_manifest(self.workspace, self._shards, self.plan.recipe_hash)

    def _write_account(self, work: PhaseWork) -> None:
        """The account of the run; the one that stands is left when nothing was to be done."""
        path = self.workspace.run_file
        if self._account_stands and storage.exists(path):
            return
        from pipelines.report import write_report

        self.clocks.save()
        self.watch.sample()
        runner = engine.runner_name(self.settings.options)
        record = build_record(
            self.plan,
            work,
            self.clocks,
            account.environment(runner, self.settings.workers),
            self.watch.peak_memory_bytes,
        )
        storage.write_bytes(path, record.to_json().encode())
        write_report(self.workspace)


def _tokens_of(shards: Markers) -> int:
    return sum(content["entry"]["tokens"] for content in shards.values())


def _report_graph(pipeline: beam.Pipeline, run: Run) -> None:
    """The end of a run as a job of one element, where the driver is not waited for."""
    runner = engine.runner_name(run.settings.options)
    (
        pipeline
        | "Output" >> beam.Create([run.workspace.output], reshuffle=False)
        | "Report" >> beam.Map(_conclude_elsewhere, type(run), runner, run.settings.workers)
    )


def _conclude_elsewhere(output: str, kind: type[Run], runner: str, workers: int) -> None:
    """The driver once more, on a worker, with nothing left but its own work.

    Without the lock of the folder: whoever submitted this may hold it.
    """
    workspace = Workspace(output)
    plan = Plan.from_json(storage.read_bytes(workspace.plan_file))
    options = PipelineOptions(flags=[], runner=runner)
    jobs = OnePhase(REPORT, AllJobs(options))
    settings = Settings(options, jobs, workers, Console(stderr=True), quiet=True)
    # An error would have the runner try again. The account says that nothing was kept.
    with suppress(NothingKept):
        kind(plan, workspace, settings).carry_out()
