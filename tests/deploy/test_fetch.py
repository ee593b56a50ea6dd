"""deploy/engines/fetch.sh with programs in the place of go, mvn and pip."""

from __future__ import annotations

import re
import subprocess
import zipfile
from pathlib import Path

import pytest

from tests.deploy.stand_ins import ROOT, StandIns

SPARK_JAR, FLINK_JAR = "spark-3-job-server.jar", "flink-1.19-job-server.jar"

_PROGRAMS = {
    "python": """
case "$*" in
  *'version("apache-beam")'*) cat "$STATE/beam" ;;
  "-m pip "*)
    call pip "${@: -1}"
    while [[ $1 != --target ]]; do shift; done
    mkdir -p "$2/pyspark" && echo "${@: -1}" > "$2/pyspark/version" ;;
  *) exec "$REAL_PYTHON" "$@" ;;
esac
""",
    "go": """
if [[ $1 == env ]]; then echo go1.0; exit; fi
call go "$2"
package=${2%@*}
echo "$2" > "$GOBIN/$(basename "$package")"
chmod +x "$GOBIN/$(basename "$package")"
""",
    # dependency:copy finds what $STATE/registry names, and says what Maven says otherwise.
    "mvn": """
jar() {
  "$REAL_PYTHON" -c '
import sys, zipfile
with zipfile.ZipFile(sys.argv[1], "w") as jar:
    jar.writestr("spark-version-info.properties", f"user=a\\nversion={sys.argv[2]}\\nbranch=b\\n")
' "$1" "$2"
}
for word in "$@"; do
  case $word in
    -DoutputDirectory=*) folder=${word#*=} ;;
    -Dartifact=*) artifact=${word#*=} ;;
    */pom.xml) folder=${word%/*} ;;
    package) goal=package ;;
  esac
done
if [[ ${goal:-} == package ]]; then
  name=$(sed -n 's|.*<finalName>\\(.*\\)</finalName>.*|\\1|p' "$folder/pom.xml")
  call mvn package "$name"
  mkdir -p "$folder/target"
  jar "$folder/target/$name.jar" 3.5.0
  exit
fi
call mvn copy "${artifact#*:}"
if grep -qsxF "${artifact#*:}" "$STATE/registry"; then
  name=${artifact#*:}
  jar "$folder/${name%:*}.jar" 3.5.1
  exit
fi
if [[ -e $STATE/crash ]]; then echo "java: cannot allocate memory"; exit 1; fi
printf '\\e[0m\\e[0m[ERROR] '
echo "Couldn't download artifact: repo.example.com: Temporary failure in name resolution"
echo "[ERROR] "
echo "[ERROR] [Help 1] https://cwiki.example.com/MojoExecutionException"
exit 1
""",
}


class Fetch(StandIns):
    """The script and its folder of engines."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder, _PROGRAMS)
        self.engines = folder / "en gines"
        self.beam("2.77.0")

    def beam(self, version: str) -> None:
        (self.state / "beam").write_text(version)

    def registry(self, *artifacts: str) -> None:
        (self.state / "registry").write_text("\n".join(artifacts))

    def __call__(self, *engines: str, code: int = 0, **variables: str) -> str:
        """What it printed."""
        words = [self.engines, *engines]
        done = self.run("engines/fetch.sh", words, PYTHON=f"{self.bin}/python", **variables)
        assert done.returncode == code, done.stderr
        assert not list(self.engines.glob(".build*"))
        return done.stdout + done.stderr

    def versions(self) -> dict[str, str]:
        lines = (self.engines / "versions.txt").read_text().splitlines()
        return dict(line.split(" ", 1) for line in lines)


@pytest.fixture
def fetch(tmp_path: Path) -> Fetch:
    return Fetch(tmp_path / "fetch")


def pom_version(runner: str) -> str:
    text = (ROOT / f"deploy/engines/{runner}.pom.xml").read_text()
    (version,) = re.findall("<beam.version>(.*)</beam.version>", text)
    return version


PARTS = f"Beam {pom_version('spark-3')}, built from parts"


def test_all_engines_and_nothing_twice(fetch: Fetch) -> None:
    fetch.registry("beam-runners-spark-3-job-server:2.77.0")
    fetch()
    assert fetch.calls() == [
        "'go' 'github.com/apache/beam/sdks/v2/go/cmd/prism@v2.77.0'",
        "'go' 'github.com/apache/beam/sdks/v2/python/container@v2.77.0'",
        "'mvn' 'copy' 'beam-runners-spark-3-job-server:2.77.0'",
        "'pip' 'pyspark==3.5.1'",
        "'mvn' 'copy' 'beam-runners-flink-1.19-job-server:2.77.0'",
        "'mvn' 'package' 'flink-1.19-job-server'",
    ]
    assert fetch.versions() == {
        "prism": "Beam 2.77.0, built with go1.0",
        "boot": "Beam 2.77.0, built with go1.0",
        SPARK_JAR: "Beam 2.77.0",
        "pyspark": "Spark 3.5.1",
        FLINK_JAR: f"{PARTS}, as for Beam 2.77.0",
    }
    assert set(fetch.versions()) < {path.name for path in fetch.engines.iterdir()}
    fetch()
    assert fetch.calls() == []


def test_another_beam_makes_everything_anew(fetch: Fetch) -> None:
    fetch.registry("beam-runners-spark-3-job-server:2.77.0")
    fetch()
    fetch.calls()
    fetch.beam("2.78.0")
    fetch.registry(
        *(f"beam-runners-{name}-job-server:2.78.0" for name in ("spark-3", "flink-1.19"))
    )
    fetch()
    assert "'mvn' 'copy' 'beam-runners-flink-1.19-job-server:2.78.0'" in fetch.calls()
    versions = fetch.versions()
    assert versions.pop("pyspark") == "Spark 3.5.1"
    assert all(version.startswith("Beam 2.78.0") for version in versions.values())
    assert (fetch.engines / "prism").read_text().endswith("@v2.78.0\n")
    fetch()
    assert fetch.calls() == []


def test_a_jar_from_parts_stays_where_the_registry_has_nothing_newer(fetch: Fetch) -> None:
    fetch("flink")
    fetch.calls()
    fetch.beam("2.78.0")
    assert "stays as it is" in fetch("flink")
    assert fetch.calls() == ["'mvn' 'copy' 'beam-runners-flink-1.19-job-server:2.78.0'"]
    fetch("flink")
    assert fetch.calls() == [], "the registry is asked once for each version of Beam"


def test_a_jar_from_parts_of_another_version_is_built_again(fetch: Fetch) -> None:
    fetch("flink")
    versions = fetch.engines / "versions.txt"
    versions.write_text(versions.read_text().replace(PARTS, "Beam 2.1.0, built from parts"))
    fetch.calls()
    fetch("flink")
    assert fetch.calls()[-1] == "'mvn' 'package' 'flink-1.19-job-server'"
    assert fetch.versions()[FLINK_JAR] == f"{PARTS}, as for Beam 2.77.0"


def test_records_without_the_version_of_beam_hold(fetch: Fetch) -> None:
    fetch()
    (fetch.engines / "versions.txt").write_text(
        "prism Beam 2.77.0, built with go1.26.8\nboot Beam 2.77.0, built with go1.26.8\n"
        f"{SPARK_JAR} {PARTS}\npyspark Spark 3.5.0\n{FLINK_JAR} {PARTS}\n"
    )
    fetch.calls()
    fetch()
    assert fetch.calls() == []
    assert fetch.versions()[SPARK_JAR] == f"{PARTS}, as for Beam 2.77.0"


def test_what_is_not_recorded_is_made_again(fetch: Fetch) -> None:
    fetch("prism")
    (fetch.engines / "versions.txt").unlink()
    fetch.calls()
    fetch("prism")
    assert len(fetch.calls()) == 1


def test_a_named_jar_comes_first_and_stays(fetch: Fetch, tmp_path: Path) -> None:
    fetch()
    fetch.calls()
    named = tmp_path / "my own.jar"
    with zipfile.ZipFile(named, "w") as jar:
        jar.writestr("spark-version-info.properties", "version=3.4.0\n")
    fetch("spark", SPARK_JOB_SERVER_JAR=str(named))
    assert fetch.calls() == ["'pip' 'pyspark==3.4.0'"], "the cluster is the jar's Spark"
    assert (fetch.engines / "pyspark/version").read_text() == "pyspark==3.4.0\n"
    assert (fetch.engines / SPARK_JAR).read_bytes() == named.read_bytes()
    assert fetch.versions()[SPARK_JAR] == "as named: my own.jar"
    assert fetch("spark", SPARK_JOB_SERVER_JAR=str(named)) == ""
    assert "remove it to have Beam's own" in fetch("spark")

    other = tmp_path / "elsewhere" / named.name
    other.parent.mkdir()
    other.write_bytes(b"another file of that name")
    fetch("flink", FLINK_JOB_SERVER_JAR=str(named))
    fetch("flink", FLINK_JOB_SERVER_JAR=str(other))
    assert (fetch.engines / FLINK_JAR).read_bytes() == other.read_bytes()
    assert fetch.calls() == []


def test_a_named_jar_that_is_not_there(fetch: Fetch) -> None:
    assert "/no/such.jar" in fetch("flink", code=1, FLINK_JOB_SERVER_JAR="/no/such.jar")
    assert not (fetch.engines / FLINK_JAR).exists()


def test_a_named_jar_without_spark_is_one_line(fetch: Fetch, tmp_path: Path) -> None:
    (tmp_path / "a.jar").write_bytes(b"no zip")
    printed = fetch("spark", code=1, SPARK_JOB_SERVER_JAR=str(tmp_path / "a.jar"))
    assert f"no Spark version in {SPARK_JAR}" in printed
    assert "Traceback" not in printed


def test_what_maven_says_is_shown_before_a_jar_is_built_from_parts(fetch: Fetch) -> None:
    printed = fetch("flink")
    assert "beam-runners-flink-1.19-job-server:2.77.0 cannot be fetched:\n[ERROR] Cou" in printed
    assert "Temporary failure in name resolution" in printed
    assert "Help 1" not in printed
    (fetch.engines / FLINK_JAR).unlink()
    (fetch.state / "crash").touch()
    assert "java: cannot allocate memory" in fetch("flink")


def test_a_missing_program_leaves_the_others(fetch: Fetch) -> None:
    (fetch.bin / "go").write_text("#!/bin/bash\nexit 1\n")
    assert "some engines are missing" in fetch(code=1)
    assert set(fetch.versions()) == {SPARK_JAR, "pyspark", FLINK_JAR}


def test_wrong_usage(fetch: Fetch) -> None:
    assert "no engine dataflow" in fetch("dataflow", code=2)
    done = subprocess.run(
        ["bash", ROOT / "deploy/engines/fetch.sh"], capture_output=True, text=True
    )
    assert done.returncode == 2
    assert done.stdout.startswith("Fetch or build")
    assert done.stdout.endswith("all else made anew.\n")
