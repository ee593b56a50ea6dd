"""deploy/spark/submit.sh with programs in the place of corpusmill and spark-submit."""

from __future__ import annotations

import json
import shlex
from pathlib import Path

import pytest

from pipelines.phase_names import EXTRACT, PHASES
from tests.deploy.stand_ins import StandIns

# A phase has the jobs that $STATE/jobs.PHASE lists; spark-submit carries out the one in the jar.
_PROGRAMS = {
    "corpusmill": """
call corpusmill "$@"
[[ $1 == phase ]]
phase=$2
while [[ $1 != --output_executable_path ]]; do shift; done
job=$(head -n 1 "$STATE/jobs.$phase" 2> /dev/null || true)
if [[ -n $job ]]; then echo "$phase" > "$2"; fi
if [[ $phase == "${FAILS:-}" ]]; then echo "error: no such recipe" >&2; exit 1; fi
echo "{\\"phase\\": \\"$phase\\", \\"submitted\\": \\"$job\\"}"
""",
    "spark-submit": """
call spark-submit "${@:1:$#-1}"
phase=$(cat "${@: -1}")
if [[ ${SPARK:-} == fails ]]; then exit 7; fi
if [[ ${SPARK:-} != idle ]]; then sed -i 1d "$STATE/jobs.$phase"; fi
""",
    "python3": 'exec "$REAL_PYTHON" "$@"\n',
}
INPUT = ["--input", "/a b/it's $HOME/*.warc.gz"]
OUTPUT = "/out's $(touch PWNED)/a b"


class Submit(StandIns):
    """The script and the jobs that phases have."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder, _PROGRAMS)

    def jobs(self, **jobs: list[str]) -> None:
        for phase, names in jobs.items():
            (self.state / f"jobs.{phase}").write_text("".join(f"{name}\n" for name in names))

    def __call__(self, *arguments: str, code: int = 0, **variables: str) -> str:
        done = self.run("spark/submit.sh", arguments, **variables)
        assert done.returncode == code, done.stderr
        return done.stdout + done.stderr

    def words(self) -> list[list[str]]:
        return [shlex.split(line) for line in self.calls()]


@pytest.fixture
def submit(tmp_path: Path) -> Submit:
    return Submit(tmp_path / "submit")


def programs(calls: list[list[str]]) -> list[str]:
    """Each call as the phase that was asked, or as spark-submit."""
    return [words[2] if words[0] == "corpusmill" else words[0] for words in calls]


def test_phases_in_order_each_until_it_is_complete(submit: Submit) -> None:
    submit.jobs(extract=["extract"], dedup=["hashes", "clusters"], report=["report"])
    printed = submit(OUTPUT, *INPUT)
    expected = []
    for phase in PHASES:
        jobs = {"extract": 1, "dedup": 2, "report": 1}.get(phase, 0)
        expected += [phase, "spark-submit"] * jobs + [phase]
    assert programs(submit.words()) == expected
    assert [line for line in printed.splitlines() if line.endswith(": complete")] == [
        f"{phase}: complete" for phase in PHASES
    ]


def test_every_word_arrives_as_it_was_written(submit: Submit) -> None:
    submit.jobs(extract=["extract"])
    boot = "/opt/a b/bo'ot"
    master = ["--master", "spark://host:7077", "--conf", "spark.a=b c"]
    submit(OUTPUT, *INPUT, "--", *master, BOOT=boot, BEAM_OPTIONS="--a=1 --b=2")
    asked, submitted, *others = submit.words()
    head = ["corpusmill", "phase", "extract", "--output", OUTPUT, *INPUT]
    assert asked[: len(head)] == head
    assert asked[-2:] == ["--a=1", "--b=2"]
    config = json.loads(asked[asked.index("--environment_config") + 1])
    assert config["command"] == boot
    assert config["env"]["PATH"].startswith(str(submit.bin))
    assert submitted == ["spark-submit", *master]
    assert all(words[3:5] == ["--output", OUTPUT] for words in others)
    assert [words[2] for words in others if "--input" in words] == [EXTRACT], "inputs are extract's"
    assert not list(submit.folder.rglob("PWNED"))


def test_a_job_that_changes_nothing_ends_it(submit: Submit) -> None:
    submit.jobs(dedup=["hashes"])
    assert "dedup: no progress after" in submit(OUTPUT, *INPUT, code=1, SPARK="idle")
    assert programs(submit.words()) == ["extract", "dedup", "spark-submit", "dedup"]


def test_a_failure_of_spark_submit_ends_it(submit: Submit) -> None:
    submit.jobs(dedup=["hashes"])
    submit(OUTPUT, *INPUT, code=7, SPARK="fails")
    assert programs(submit.words()) == ["extract", "dedup", "spark-submit"]


def test_a_failure_of_a_phase_ends_it(submit: Submit) -> None:
    submit.jobs(dedup=["hashes"])
    assert "error: no such recipe" in submit(OUTPUT, *INPUT, code=1, FAILS="dedup")
    assert programs(submit.words()) == ["extract", "dedup"]


@pytest.mark.parametrize("words", [["--inputs-from", "-"], ["--inputs-from=-"]])
def test_a_list_of_inputs_is_no_standard_input(submit: Submit, words: list[str]) -> None:
    assert "write the list into a file" in submit(OUTPUT, *words, code=2)
    assert submit.words() == []


def test_a_run_is_discarded_once(submit: Submit) -> None:
    submit.jobs(extract=["extract"])
    submit(OUTPUT, "--inputs-from", "list.txt", "--no-resume", "--recipe", "c4")
    first, _, second, *others = submit.words()
    assert "--no-resume" in first
    assert not any("--no-resume" in words for words in (second, *others))
    assert second[5:9] == ["--inputs-from", "list.txt", "--recipe", "c4"]


def test_wrong_usage_shows_the_head(submit: Submit) -> None:
    printed = submit(code=2)
    assert printed.startswith("A whole run by spark-submit")
    assert printed.endswith("not standard input.\n")
