"""A stand-in for Dataflow's REST API on localhost: it runs the graphs that it is sent.

Beam's own runner, API client and staging talk to it, over HTTP, without credentials. What is
staged for the service is what it runs, on the in-memory runner.
"""

from __future__ import annotations

import json
import re
import threading
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.portability import common_urns, python_urns
from apache_beam.portability.api import beam_runner_api_pb2
from apache_beam.runners.portability.fn_api_runner import FnApiRunner

_JOBS = re.compile(r"/v1b3/projects/(?P<project>[^/]+)/locations/(?P<region>[^/]+)/jobs")
_ACTIVE = ("JOB_STATE_QUEUED", "JOB_STATE_PENDING", "JOB_STATE_RUNNING")
_SUMMARY = ("id", "name", "currentState")
"""What lists are promised to have: `view` of ListJobsRequest says so."""


def staged_graph(job: dict[str, Any]) -> beam_runner_api_pb2.Pipeline:
    """The pipeline that a job request names."""
    url = job["environment"]["sdkPipelineOptions"]["options"]["pipelineUrl"]
    graph = beam_runner_api_pb2.Pipeline()
    graph.ParseFromString(Path(url).read_bytes())
    return graph


def run_graph(graph: beam_runner_api_pb2.Pipeline) -> None:
    """In this process, where the job asks for containers."""
    for environment in graph.components.environments.values():
        assert environment.urn == common_urns.environments.DOCKER.urn
        environment.urn = python_urns.EMBEDDED_PYTHON
        environment.payload = b""
        del environment.dependencies[:]
    FnApiRunner().run_via_runner_api(graph, PipelineOptions([]))


class FakeService:
    """Jobs by id, in the order they came."""

    def __init__(self, run: Callable[[beam_runner_api_pb2.Pipeline], None] = run_graph) -> None:
        self.jobs: dict[str, dict[str, Any]] = {}
        self.messages: dict[str, list[dict[str, Any]]] = {}
        self._run = run
        self._lock = threading.Lock()
        self.refuse: int | None = None
        """An HTTP status to answer everything with."""

    def names(self) -> list[str]:
        return [job["name"] for job in self.jobs.values()]

    def add(self, name: str, state: str, **labels: str) -> str:
        """A job that somebody else started; returns its id."""
        job_id = f"2026-01-01_00_00_00-{len(self.jobs)}"
        self.jobs[job_id] = {"id": job_id, "name": name, "currentState": state, "labels": labels}
        return job_id

    def create(self, job: dict[str, Any]) -> dict[str, Any]:
        with self._lock:
            for other in self.jobs.values():
                if other["name"] == job["name"] and other["currentState"] == "JOB_STATE_RUNNING":
                    return other
            job["id"] = f"2026-01-01_00_00_00-{len(self.jobs)}"
            job["currentState"] = "JOB_STATE_RUNNING"
            self.jobs[job["id"]] = job
            self.messages[job["id"]] = []
        threading.Thread(target=self._work, args=(job, staged_graph(job)), daemon=True).start()
        return job

    def _work(self, job: dict[str, Any], graph: beam_runner_api_pb2.Pipeline) -> None:
        try:
            self._run(graph)
        except Exception:  # noqa: BLE001 - as a service does, whatever the job raised
            self.messages[job["id"]].append(
                {
                    "id": "1",
                    "time": "2026-01-01T00:00:00Z",
                    "messageText": traceback.format_exc(),
                    "messageImportance": "JOB_MESSAGE_ERROR",
                }
            )
            job["currentState"] = "JOB_STATE_FAILED"
        else:
            job["currentState"] = "JOB_STATE_DONE"

    def answer(self, method: str, path: str, body: dict[str, Any]) -> dict[str, Any]:
        url = urlsplit(path)
        found = _JOBS.match(url.path)
        assert found is not None, path
        rest = url.path[found.end() :].strip("/").split("/")
        if method == "POST" and rest == [""]:
            return self.create(body)
        assert method == "GET", method
        if rest == [""]:
            query = parse_qs(url.query)
            jobs = list(self.jobs.values())
            if query.get("filter") in (["ACTIVE"], ["3"]):
                jobs = [j for j in jobs if j["currentState"] in _ACTIVE]
            # The service's own labels may be there, ours need not.
            own = {"goog-dataflow-provided": "yes"}
            return {
                "jobs": [{**{key: job[key] for key in _SUMMARY}, "labels": own} for job in jobs]
            }
        if rest[1:] == ["messages"]:
            return {"jobMessages": self.messages[rest[0]]}
        return self.jobs[rest[0]]

    @contextmanager
    def serving(self) -> Iterator[str]:
        """The endpoint, for as long as the context lasts."""
        service = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self._answer("GET")

            def do_POST(self) -> None:
                self._answer("POST")

            def _answer(self, method: str) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                status, answer = service.refuse or 200, {}
                if service.refuse is None:
                    answer = service.answer(method, self.path, json.loads(body or b"{}"))
                data = json.dumps(answer).encode()
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            def log_message(self, format: str, *args: Any) -> None:
                pass

        server = ThreadingHTTPServer(("localhost", 0), Handler)
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield f"http://localhost:{server.server_port}"
        finally:
            server.shutdown()
            server.server_close()
            thread.join()
