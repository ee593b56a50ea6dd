"""The driver of `corpusmill curate`: the phases in order, each resumable, and the account."""

from __future__ import annotations

import hashlib
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import apache_beam as beam
from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.utils.shared import Shared
from rich.console import Console

from pipelines import account, engine, storage
from pipelines.account import Clock, Markers
from pipelines.assets import check_assets, provide_assets
from pipelines.phases import dedup, extract, finish, pack, tokenize, tokenizer
from pipelines.plan import SEGMENT_BYTES, Plan, claim_output, make_plan
from pipelines.progress import PhaseWatch, watching
from pipelines.recipes import validate
from pipelines.record import PhaseWork, build_record
from pipelines.resources import ResourceWatch
from pipelines.workspace import Marker, Workspace, read_markers
from schemas.errors import CorpusmillError, ReconcileError
from schemas.recipe import Recipe
from schemas.run import RunRecordV1
from schemas.shards import ShardManifestV1
from stages.dedup import curve
from stages.refine import RefineAssets


class CurateRequest(NamedTuple):
    """One `corpusmill curate` as asked for."""

    inputs: list[str]
    output: str
    recipe: Recipe
    workers: int
    limit: int | None = None
    resume: bool = True
    options: PipelineOptions | None = None
    segment_bytes: int = SEGMENT_BYTES
    clean: bool = False
    """Remove OUT/.work at the end."""


class NothingKept(CorpusmillError):
    """The run went to its end, but no document was kept: the account is written all the same."""


def curate(request: CurateRequest, console: Console, quiet: bool = False) -> RunRecordV1:
    """Run every phase that is not done yet and write run.json and report.html.

    Raises:
        UsageError: recipe, inputs or output folder cannot be used; nothing was started.
        CorpusmillError: a phase failed; what it finished is kept for the next run.
        NothingKept: after writing the account, when there are no documents.
    """
    plan, workspace = start(request)
    return Run(plan, workspace, request, console, quiet).execute()


def start(request: CurateRequest, annotated: bool = False) -> tuple[Plan, Workspace]:
    """Check everything that can be checked before work, and claim the output folder."""
    validate(request.recipe)
    inputs = storage.match_inputs(request.inputs)
    check_assets(request.recipe)
    plan = make_plan(request.recipe, inputs, request.limit, request.segment_bytes)
    plan = plan._replace(annotated=annotated)
    workspace = Workspace(request.output.rstrip("/") or request.output)
    claim_output(plan, workspace, request.resume)
    return plan, workspace


class Run:
    """One execution: the state that phases hand to each other."""

    def __init__(
        self,
        plan: Plan,
        workspace: Workspace,
        request: CurateRequest,
        console: Console,
        quiet: bool,
    ) -> None:
        self.plan = plan
        self.workspace = workspace
        self.workers = request.workers
        self.options = request.options or engine.make_options(None, [])
        self.console = console
        self.quiet = quiet
        self.clean = request.clean
        self.watch = ResourceWatch()
        self.clocks: dict[str, Clock] = {}
        self.names = [task.name for task in plan.tasks]

    def execute(self) -> RunRecordV1:
        """Run to the end and write the account. Raises what curate raises."""
        started, cpu_started = time.monotonic(), self.watch.cpu_seconds()
        with self.watch.sampling():
            self.say_curve()
            work = self.run_phases(provide_assets(self.plan.recipe, self._say))
            self._drop_stale(work.manifest)
        record = self._record(work)
        record.seconds = round(time.monotonic() - started, 3)
        record.cpu_seconds = round(self.watch.cpu_seconds() - cpu_started, 3)
        record.pages_per_second = round(record.phases[0].in_ / max(record.seconds, 1e-9), 2)
        self._write_account(record)
        if not record.phases[-1].kept:
            raise NothingKept(
                f"no document was kept of {record.phases[0].in_} records: "
                f"{sum(record.rules.values())} rejected, {sum(record.errors.values())} errors; "
                f"see {self.workspace.path('report.html')}"
            )
        return record

    def run_phases(self, assets: RefineAssets) -> PhaseWork:
        """Every phase in order; those that are done are taken over."""
        extracted = self._extract(assets)
        dedup_counts = self._dedup()
        finished = self._finish()
        if not account.total(finished.values(), "counts")["kept"]:
            storage.remove(self.workspace.shards())
            return PhaseWork(extracted, finished, dedup_counts)
        return PhaseWork(extracted, finished, dedup_counts, *self._pack(finished))

    def _say(self, line: str) -> None:
        if not self.quiet:
            self.console.print(line, highlight=False)

    def say_curve(self) -> None:
        """What the recipe's bands find."""
        minhash = self.plan.recipe.dedup.minhash
        if minhash is not None:
            self._say(curve.table(minhash.bands, minhash.rows))

    @contextmanager
    def _timed(self, name: str) -> Iterator[None]:
        started, cpu_started = time.monotonic(), self.watch.cpu_seconds()
        yield
        before = self.clocks.get(name, Clock(0.0, 0.0))
        self.clocks[name] = Clock(
            before.seconds + time.monotonic() - started,
            before.cpu_seconds + self.watch.cpu_seconds() - cpu_started,
        )

    def _run_tasks(
        self,
        title: str,
        folder: str,
        keys: dict[str, str],
        build: Callable[[beam.Pipeline, list[str]], None],
    ) -> Markers:
        """Run a phase over the tasks whose markers are missing; returns all markers."""
        done = self._markers(folder, keys)
        missing = [name for name in keys if name not in done]
        if missing:
            watch = PhaseWatch(self.workspace, folder, list(keys))
            with watching(title, watch, self.console, enabled=not self.quiet):
                engine.run(lambda pipeline: build(pipeline, missing), self.options)
            done = self._markers(folder, keys)
        still = [name for name in keys if name not in done]
        if still:
            raise ReconcileError(
                f"phase {title} left {len(still)} of {len(keys)} tasks undone "
                f"(first: {still[0]}); run the same command again"
            )
        return done

    def _markers(self, folder: str, keys: dict[str, str]) -> Markers:
        found: Markers = {}
        for key in set(keys.values()):
            for name, content in read_markers(self.workspace.work(folder), key).items():
                if keys.get(name) == key:
                    found[name] = content
        return found

    def first_phase(self, assets: RefineAssets) -> extract.ExtractDoFn:
        """What makes the documents out of a task."""
        return extract.ExtractDoFn(self.workspace, self.plan.recipe, assets, self.workers, Shared())

    def _extract(self, assets: RefineAssets) -> Markers:
        plan = self.plan
        keys = {task.name: plan.task_key(task) for task in plan.tasks}
        tasks = {task.name: task for task in plan.tasks}

        def build(pipeline: beam.Pipeline, missing: list[str]) -> None:
            todo = [(tasks[name], keys[name]) for name in missing]
            extract.build(pipeline, todo, self.first_phase(assets))

        with self._timed("extract"):
            return self._run_tasks("extract", extract.FOLDER, keys, build)

    def _dedup(self) -> dict[str, Any]:
        marker = Marker(self.workspace.work("dedup.done.json"))
        with self._timed("dedup"):
            before = marker.read(self.plan.key)
            if before is not None:
                return before
            storage.remove(self.workspace.work("clusters"))
            started = self.watch.cpu_seconds()
            counts = dedup.run_dedup(
                [extract.task_file(self.workspace, name, "keys") for name in self.names],
                self.workspace.work("clusters"),
                self.plan.recipe.dedup,
                self.options,
            )
            rejected = sum(counts.rejected_by_method.values())
            content = {
                "counts": {
                    "in": counts.in_,
                    "kept": counts.kept,
                    "rejected": rejected,
                    "errors": 0,
                },
                "rules": {f"dedup.{m}": n for m, n in counts.rejected_by_method.items() if n},
                "cpu_seconds_by_step": {"dedup": round(self.watch.cpu_seconds() - started, 6)},
            }
            marker.write(self.plan.key, content)
            return content

    def _finish(self) -> Markers:
        keys = dict.fromkeys(self.names, self.plan.key)
        clusters = storage.list_files(self.workspace.work("clusters"), ".parquet")

        def build(pipeline: beam.Pipeline, missing: list[str]) -> None:
            finish.build(
                pipeline,
                dict.fromkeys(missing, self.plan.key),
                clusters,
                self.workspace,
                self.plan.recipe,
                self.workers,
            )

        with self._timed("finish"):
            done = self._run_tasks("finish", finish.FOLDER, keys, build)
            finish.publish_clusters(clusters, self.workspace)
            return done

    def _pack(self, finished: Markers) -> tuple[ShardManifestV1, Counter[str], Counter[str]]:
        with self._timed("pack"):
            text_bytes = sum(content["text_bytes"] for content in finished.values())
            trained = tokenizer.provide_tokenizer(
                self.plan.recipe, self.names, self.plan.key, self.workspace, text_bytes
            )
            tokenized = self._tokenize()
            contents = self._merge(account.total(tokenized.values(), "tokens"))
            manifest = pack.write_manifest(self.workspace, contents, self.plan.recipe_hash)
            steps = account.total([trained], "cpu_seconds_by_step")
            steps.update(account.total(tokenized.values(), "cpu_seconds_by_step"))
            steps.update(account.total(contents.values(), "cpu_seconds_by_step"))
            return manifest, account.total(contents.values(), "counts"), steps

    def _tokenize(self) -> Markers:
        seed = self.plan.recipe.shards.seed
        model = storage.read_bytes(self.workspace.shards(tokenizer.FILE_NAME))
        key = hashlib.sha256(self.plan.key.encode() + model).hexdigest()
        keys = dict.fromkeys(self.names, key)

        def build(pipeline: beam.Pipeline, missing: list[str]) -> None:
            todo = [(name, key) for name in missing]
            tokenize.build(pipeline, todo, self.workspace, seed, self.workers)

        return self._run_tasks("tokenize", tokenize.FOLDER, keys, build)

    def _merge(self, tokens_by_split: Counter[str]) -> Markers:
        shards = pack.plan_shards(tokens_by_split, self.plan.recipe.shards.tokens_per_shard)
        names = {shard.marker_name for shard in shards}
        folder = self.workspace.work(pack.FOLDER)
        done = {n: c for n, c in read_markers(folder, self.plan.key).items() if n in names}
        if len(done) < len(shards):
            dtype = tokenizer.load_tokenizer(self.workspace).dtype
            engine.run(
                lambda pipeline: pack.build(
                    pipeline,
                    self.names,
                    shards,
                    self.workspace,
                    dtype,
                    self.plan.key,
                    frozenset(done),
                ),
                self.options,
            )
            done = {n: c for n, c in read_markers(folder, self.plan.key).items() if n in names}
        packed = sum(content["entry"]["tokens"] for content in done.values())
        if packed != sum(tokens_by_split.values()):
            raise ReconcileError(
                f"{sum(tokens_by_split.values())} tokens were made, but the shards hold {packed}"
            )
        return done

    def _drop_stale(self, manifest: ShardManifestV1 | None) -> None:
        """Files of tasks and shards that are no longer part of the run."""
        current = {f"{name}.parquet" for name in self.names}
        for folder in ("documents", "rejected", "errors", "verdicts"):
            for path in storage.list_files(self.workspace.path(folder), ".parquet"):
                if path.rsplit("/", 1)[-1] not in current:
                    storage.remove(path)
        if manifest is not None:
            paths = {entry.path for entry in manifest.shards}
            for split in (finish.TRAIN, finish.VALIDATION):
                for suffix in (".bin", ".idx"):
                    for path in storage.list_files(self.workspace.shards(split), suffix):
                        if f"{split}/{path.rsplit('/', 1)[-1][: -len(suffix)]}" not in paths:
                            storage.remove(path)

    def _record(self, work: PhaseWork) -> RunRecordV1:
        runner = self.options.get_all_options().get("runner") or engine.LOCAL_RUNNER
        environment = account.environment(str(runner), self.workers)
        peak_bytes = self.watch.peak_memory_bytes
        return build_record(self.plan, work, self.clocks, environment, peak_bytes)

    def _write_account(self, record: RunRecordV1) -> None:
        from pipelines.report import write_report

        storage.write_bytes(self.workspace.run_file, record.to_json().encode())
        write_report(self.workspace)
        if self.clean:
            storage.remove(self.workspace.work())
