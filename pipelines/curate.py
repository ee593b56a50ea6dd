"""The driver of `corpusmill curate`: the phases in order, each resumable, and the account."""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Callable
from typing import Any, NamedTuple

import apache_beam as beam
from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.utils.shared import Shared
from rich.console import Console

from pipelines import account, engine, storage
from pipelines.account import Markers
from pipelines.assets import check_assets, provide_assets, stamp
from pipelines.claim import FILES, claim_output
from pipelines.clocks import Clocks
from pipelines.phases import dedup, extract, finish, pack, tokenize, tokenizer
from pipelines.plan import SEGMENT_BYTES, Plan, make_plan
from pipelines.progress import PhaseWatch, watching
from pipelines.recipes import validate
from pipelines.record import PhaseWork, build_record
from pipelines.resources import ResourceWatch
from pipelines.workspace import Marker, Workspace, read_markers
from schemas.errors import CorpusmillError, ReconcileError
from schemas.recipe import Recipe
from schemas.run import RunRecordV1
from schemas.shards import MANIFEST_NAME, ShardManifestV1
from stages.dedup import curve
from stages.refine import RefineAssets

_TASK_FILE = re.compile(r"[0-9a-f]{16}-\d{12}\.parquet")


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
    """Check everything that can be checked before work; the folder is claimed by execute."""
    validate(request.recipe)
    inputs = storage.match_inputs(request.inputs)
    check_assets(request.recipe)
    plan = make_plan(request.recipe, inputs, request.limit, request.segment_bytes)
    plan = plan._replace(annotated=annotated, stamp=stamp(request.recipe))
    return plan, Workspace(request.output.rstrip("/") or request.output)


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
        self.resume = request.resume
        self.watch = ResourceWatch()
        self.key = plan.key
        self.names = [task.name for task in plan.tasks]
        self._account_stands = True

    def execute(self) -> RunRecordV1:
        """Run to the end and write the account. Raises what curate raises."""
        assets = provide_assets(self.plan.recipe, self._say)
        with self.workspace.locked():
            claim_output(self.plan, self.workspace, self.resume)
            self.clocks = Clocks(self.workspace, self.key, self.watch)
            self.say_curve()
            with self.watch.sampling():
                work = self.run_phases(assets)
                self._drop_stale(work.manifest)
            record = self._account(work)
        if self.clean:
            storage.remove_folder(self.workspace.work())
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
        kept = account.total(finished.values(), "counts")
        if kept["in"] - kept["rejected"] != dedup_counts["counts"]["kept"]:
            raise ReconcileError(
                f"dedup kept {dedup_counts['counts']['kept']} documents, but finish took in "
                f"{kept['in'] - kept['rejected']}: remove {self.workspace.work()} and run again"
            )
        if not kept["kept"]:
            storage.remove_folder(self.workspace.shards())
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

    def _begin_work(self) -> None:
        """Files are about to change: what says that the run is finished goes first."""
        if self._account_stands:
            self._account_stands = False
            manifest = self.workspace.shards(MANIFEST_NAME)
            for path in (*map(self.workspace.path, FILES), manifest):
                storage.remove(path)

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
            self._begin_work()
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
        keys = plan.task_keys()
        tasks = {task.name: task for task in plan.tasks}

        def build(pipeline: beam.Pipeline, missing: list[str]) -> None:
            todo = [(tasks[name], keys[name]) for name in missing]
            extract.build(pipeline, todo, self.first_phase(assets))

        with self.clocks.timed("extract"):
            return self._run_tasks("extract", extract.FOLDER, keys, build)

    def _dedup(self) -> dict[str, Any]:
        marker = Marker(self.workspace.work("dedup.done.json"))
        with self.clocks.timed("dedup"):
            before = marker.read(self.key)
            if before is not None:
                return before
            self._begin_work()
            storage.remove_folder(self.workspace.work("clusters"))
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
            clusters = storage.list_files(self.workspace.work("clusters"), ".parquet")
            marker.write(self.key, content, clusters)
            return content

    def _finish(self) -> Markers:
        keys = dict.fromkeys(self.names, self.key)
        clusters = storage.list_files(self.workspace.work("clusters"), ".parquet")

        def build(pipeline: beam.Pipeline, missing: list[str]) -> None:
            finish.build(
                pipeline,
                dict.fromkeys(missing, self.key),
                clusters,
                self.workspace,
                self.plan.recipe,
                self.workers,
            )

        with self.clocks.timed("finish"):
            done = self._run_tasks("finish", finish.FOLDER, keys, build)
            finish.publish_clusters(clusters, self.workspace)
            return done

    def _pack(self, finished: Markers) -> tuple[ShardManifestV1, Counter[str], Counter[str]]:
        with self.clocks.timed("pack"):
            train_bytes = sum(content["train_bytes"] for content in finished.values())
            trained = tokenizer.provide_tokenizer(
                self.plan.recipe, self.names, self.key, self.workspace, train_bytes
            )
            tokenized = self._tokenize()
            contents = self._merge(account.total(tokenized.values(), "tokens"))
            manifest = pack.write_manifest(self.workspace, contents, self.plan.recipe_hash)
            steps = account.total([trained], "cpu_seconds_by_step")
            steps.update(account.total(tokenized.values(), "cpu_seconds_by_step"))
            steps.update(account.total(contents.values(), "cpu_seconds_by_step"))
            return manifest, account.total(contents.values(), "counts"), steps

    def _token_key(self) -> str:
        """Tokens and shards depend on the tokenizer, too."""
        model = storage.read_bytes(self.workspace.shards(tokenizer.FILE_NAME))
        return hashlib.sha256(self.key.encode() + model).hexdigest()

    def _tokenize(self) -> Markers:
        seed = self.plan.recipe.shards.seed
        key = self._token_key()
        keys = dict.fromkeys(self.names, key)

        def build(pipeline: beam.Pipeline, missing: list[str]) -> None:
            todo = [(name, key) for name in missing]
            tokenize.build(pipeline, todo, self.workspace, seed, self.workers)

        return self._run_tasks("tokenize", tokenize.FOLDER, keys, build)

    def _merge(self, tokens_by_split: Counter[str]) -> Markers:
        shards = pack.plan_shards(tokens_by_split, self.plan.recipe.shards.tokens_per_shard)
        names = {shard.marker_name for shard in shards}
        folder, key = self.workspace.work(pack.FOLDER), self._token_key()
        done = {n: c for n, c in read_markers(folder, key).items() if n in names}
        # A range of keys without documents leaves no shard: tokens tell, not the number of shards.
        if _tokens_of(done) != sum(tokens_by_split.values()):
            self._begin_work()
            dtype = tokenizer.load_tokenizer(self.workspace).dtype
            engine.run(
                lambda pipeline: pack.build(
                    pipeline,
                    self.names,
                    shards,
                    self.workspace,
                    dtype,
                    key,
                    frozenset(done),
                ),
                self.options,
            )
            done = {n: c for n, c in read_markers(folder, key).items() if n in names}
        if _tokens_of(done) != sum(tokens_by_split.values()):
            raise ReconcileError(
                f"{sum(tokens_by_split.values())} tokens were made, but the shards hold "
                f"{_tokens_of(done)}"
            )
        return done

    def _drop_stale(self, manifest: ShardManifestV1 | None) -> None:
        """Files of tasks and shards that are no longer part of the run."""
        current = {f"{name}.parquet" for name in self.names}
        for folder in ("documents", "rejected", "errors", "verdicts"):
            for path in storage.list_files(self.workspace.path(folder), ".parquet"):
                name = path.rsplit("/", 1)[-1]
                if name not in current and _TASK_FILE.fullmatch(name):
                    storage.remove(path)
        if manifest is not None:
            paths = {entry.path for entry in manifest.shards}
            for split in (finish.TRAIN, finish.VALIDATION):
                for suffix in (".bin", ".idx"):
                    for path in storage.list_files(self.workspace.shards(split), suffix):
                        if f"{split}/{path.rsplit('/', 1)[-1][: -len(suffix)]}" not in paths:
                            storage.remove(path)

    def _account(self, work: PhaseWork) -> RunRecordV1:
        """The account of the run: the one that stands when nothing was left to do."""
        path = self.workspace.run_file
        if self._account_stands and storage.exists(path):
            return RunRecordV1.from_bytes(storage.read_bytes(path), path)
        from pipelines.report import write_report

        self.clocks.save()
        record = build_record(
            self.plan,
            work,
            self.clocks,
            account.environment(engine.runner_name(self.options), self.workers),
            self.watch.peak_memory_bytes,
        )
        storage.write_bytes(path, record.to_json().encode())
        write_report(self.workspace)
        return record


def _tokens_of(shards: Markers) -> int:
    return sum(content["entry"]["tokens"] for content in shards.values())
