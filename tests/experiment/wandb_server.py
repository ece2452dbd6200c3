"""A stand-in of the W&B server on this machine: tests go through the real client, both ways.

It keeps what the client uploads, in the form in which it arrives, and answers the public API from that.
"""

import gzip
import json
import re
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import wandb

from dotally.callbacks import Prediction
from dotally.callbacks.curve import render
from dotally.experiment.results import Result, recompute, write_predictions

ENTITY = "me"
PROJECT = {"id": "UHJvamVjdDox", "internalId": "1", "name": "dotally", "entity": {"id": "RW50aXR5OjE=", "name": ENTITY}}


class WandbServer(ThreadingHTTPServer):
    """Runs by id; ``operations`` has the name of every GraphQL request, ``gone`` cuts the network."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.runs: dict[str, dict[str, Any]] = {}
        self.artifacts: list[dict[str, Any]] = []
        self.used: list[str] = []
        self.operations: list[str] = []
        self.uploads: list[str] = []
        self.files: dict[str, bytes] = {}
        self.gone = False
        self.lock = threading.RLock()
        self.url = f"http://127.0.0.1:{self.server_port}"
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that hangs up is no failure of a test."""

    def answer(self, operation: str, variables: dict[str, Any], query: str) -> Any:
        with self.lock:
            self.operations.append(operation)
            if operation in ("Run", "Runs"):
                return self.find(variables, full="summaryMetrics" in query)
            return getattr(self, f"on_{operation}")(variables)

    def on_Viewer(self, variables: dict[str, Any]) -> Any:  # noqa: N802
        return {
            "viewer": {"id": "VXNlcjox", "entity": ENTITY, "username": ENTITY, "flags": "{}", "teams": {"edges": []}}
        }

    on_GetDefaultEntity = on_Viewer  # noqa: N815

    def on_ServerFeaturesQuery(self, variables: dict[str, Any]) -> Any:  # noqa: N802
        return {"serverInfo": {"features": []}}

    def on_RunResumeStatus(self, variables: dict[str, Any]) -> Any:  # noqa: N802
        run = self.runs.get(variables["name"])
        if run is None:
            return {"model": None}
        counts = {"logLineCount": 0, "historyLineCount": len(run["history"]), "eventsLineCount": 0}
        tails = {"historyTail": json.dumps(run["history"][-1:]), "eventsTail": "[]", "wandbConfig": "{}"}
        bucket = {"id": run["id"], "name": run["name"], "displayName": run["displayName"], "notes": None}
        bucket |= {**counts, **tails, "config": run["config"], "summaryMetrics": run["summary"], "tags": run["tags"]}
        return {"model": {**PROJECT, "bucket": bucket}}

    def on_UpsertBucket(self, variables: dict[str, Any]) -> Any:  # noqa: N802
        new = variables["name"] not in self.runs
        empty = {"config": "{}", "summary": "{}", "history": [], "state": "running", "displayName": None, "tags": []}
        run = self.runs.setdefault(variables["name"], {**empty, "created": len(self.runs)})
        run |= {name: value for name, value in variables.items() if value is not None}
        run["id"] = f"b{run['created']}"
        bucket = {name: run.get(name) for name in ("id", "name", "displayName", "description", "config", "sweepName")}
        bucket |= {"project": PROJECT, "historyLineCount": len(run["history"])}
        return {"upsertBucket": {"bucket": bucket, "inserted": new}}

    def on_CreateRunFiles(self, variables: dict[str, Any]) -> Any:  # noqa: N802
        files = [{"name": name, "uploadUrl": f"{self.url}/up/{variables['run']}/{name}"} for name in variables["files"]]
        self.uploads += variables["files"]
        return {"createRunFiles": {"runID": variables["run"], "uploadHeaders": [], "files": files}}

    def on_RunFiles(self, variables: dict[str, Any]) -> Any:  # noqa: N802
        nodes = []
        for name in variables["fileNames"]:
            path = f"/up/{variables['name']}/{name}"
            if content := self.files.get(path):
                found = {"id": name, "name": name, "url": f"{self.url}{path}", "directUrl": f"{self.url}{path}"}
                found |= {"sizeBytes": len(content), "mimetype": "application/json", "updatedAt": None, "md5": None}
                nodes.append({"node": found, "cursor": name})
        files = {"edges": nodes, "pageInfo": {"endCursor": None, "hasNextPage": False}}
        return {"project": {"internalId": "1", "run": {"fileCount": len(nodes), "files": files}}}

    def on_ArtifactType(self, variables: dict[str, Any]) -> Any:  # noqa: N802
        return {"project": {"artifact": None}}

    def on_CreateArtifact(self, variables: dict[str, Any]) -> Any:  # noqa: N802
        self.artifacts.append(variables["input"])
        made = {"id": f"artifact{len(self.artifacts)}", "state": "COMMITTED"}  # so nobody uploads its files
        return {"createArtifact": {"artifact": {**made, "artifactSequence": {"latestArtifact": None}}}}

    def on_ArtifactByID(self, variables: dict[str, Any]) -> Any:  # noqa: N802
        given = self.artifacts[int(variables["id"].removeprefix("artifact")) - 1]
        sequence = {"__typename": "ArtifactSequence", "name": given["artifactCollectionName"], "project": PROJECT}
        fixed = {"__typename": "Artifact", "ttlDurationSeconds": -1, "ttlIsInherited": True, "tags": [], "fileCount": 1}
        dates = {
            "createdAt": "2026-01-01T00:00:00Z",
            "updatedAt": None,
            "versionIndex": 0,
            "size": 1,
            "commitHash": "0",
        }
        named = {"artifactType": {"name": given["artifactTypeName"]}, "artifactSequence": sequence, "aliases": []}
        taken = {name: given.get(name) for name in ("description", "metadata", "digest", "historyStep")}
        return {"artifact": {**fixed, **dates, **named, **taken, "id": variables["id"], "state": "COMMITTED"}}

    def on_UseArtifact(self, variables: dict[str, Any]) -> Any:  # noqa: N802
        given = variables.get("input", variables)
        self.used.append(given["artifactID"])
        return {"useArtifact": {"artifact": {"id": given["artifactID"]}}}

    def on_ProjectInternalId(self, variables: dict[str, Any]) -> Any:  # noqa: N802
        return {"project": PROJECT}

    def stream(self, run: str, sent: dict[str, Any]) -> None:
        """Take in what the client's file stream sends of a run."""
        with self.lock:
            files, record = sent.get("files") or {}, self.runs[run]
            for line in files.get("wandb-history.jsonl", {}).get("content", []):
                record["history"].append(json.loads(line))
            for line in files.get("wandb-summary.json", {}).get("content", []):
                record["summary"] = line
            if sent.get("complete"):
                record["state"] = "finished" if sent.get("exitcode") == 0 else "failed"

    def find(self, variables: dict[str, Any], *, full: bool) -> Any:
        if "filters" not in variables:
            run = self.runs.get(variables["name"])
            return {"project": {**PROJECT, "run": run and self.node(run, full=full)}}
        wanted = json.loads(variables["filters"])
        found = [self.node(run, full=full) for run in self.runs.values() if _matches(run, wanted)]
        edges = [{"node": node, "cursor": str(place)} for place, node in enumerate(found)]
        page = {"edges": edges, "pageInfo": {"endCursor": None, "hasNextPage": False}}
        return {"project": {**PROJECT, "runCount": len(found), "readOnly": False, "runs": page}}

    def node(self, run: dict[str, Any], *, full: bool) -> dict[str, Any]:
        """Return a run as the public API gets it; the heavy fields are JSON text, and come only when asked for."""
        light = {name: run.get(name) for name in ("id", "name", "displayName", "state", "tags", "jobType")}
        light |= {
            "group": run.get("groupName"),
            "createdAt": f"2026-01-01T00:00:{run['created']:02}Z",
            "projectId": "1",
        }
        light |= {
            "heartbeatAt": "2026-01-02T00:00:00Z",
            "sweepName": None,
            "user": {"name": ENTITY, "username": ENTITY},
        }
        heavy = {"config": run["config"], "summaryMetrics": run["summary"], "systemMetrics": "{}"}
        return {**light, **(heavy if full else {})}


def _matches(run: dict[str, Any], wanted: dict[str, Any]) -> bool:
    """Filter by what the project uses of MongoDB's language."""
    config = json.loads(run["config"])
    for name, value in wanted.items():
        if name == "$and":
            good = all(_matches(run, part) for part in value)
        elif name.startswith("config."):
            good = config.get(name.removeprefix("config."), {}).get("value") == value
        else:
            good = run[name] == value
        if not good:
            return False
    return True


class Handler(BaseHTTPRequestHandler):
    """GraphQL, file streams and uploads."""

    server: WandbServer

    def do_POST(self) -> None:
        body = self._body()
        if self.server.gone:
            self.connection.close()
        elif self.path == "/graphql":
            asked = json.loads(body)
            operation = re.search(r"(?:query|mutation)\s+(\w+)", asked["query"])[1]  # type: ignore[index]
            answer = self.server.answer(operation, asked.get("variables") or {}, asked["query"])
            self._reply({"data": answer})
        else:
            if self.path.endswith("/file_stream"):
                self.server.stream(self.path.split("/")[-2], json.loads(body))
            self._reply({})

    def do_PUT(self) -> None:
        self.server.files[self.path] = self._body()
        self._reply({})

    def do_GET(self) -> None:
        self._send(self.server.files[self.path])

    def _body(self) -> bytes:
        if self.headers.get("transfer-encoding") == "chunked":
            parts = []
            while size := int(self.rfile.readline(), 16):
                parts.append(self.rfile.read(size))
                self.rfile.readline()
            content = b"".join(parts)
        else:
            content = self.rfile.read(int(self.headers.get("content-length") or 0))
        return gzip.decompress(content) if self.headers.get("content-encoding") == "gzip" else content

    def _reply(self, value: Any) -> None:
        self._send(json.dumps(value).encode())

    def _send(self, content: bytes) -> None:
        self.send_response(200)
        self.send_header("content-length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *arguments: Any) -> None:
        """Nothing on the terminal."""


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[WandbServer]:
    """Run the stand-in and point the client at it, with a key, online."""
    wandb.teardown()  # the client remembers its server and its key
    made = WandbServer()
    monkeypatch.delenv("WANDB_MODE")
    for name, value in {"WANDB_BASE_URL": made.url, "WANDB_API_KEY": "0" * 40, "HOME": str(tmp_path)}.items():
        monkeypatch.setenv(name, value)
    yield made
    wandb.teardown()
    made.shutdown()


def fabricate(folder: Path, *, row: str = "net", seed: int = 0, spec: dict[str, Any] | None = None) -> Result:
    """Write the files of a finished run that never was, laid out as committed results are, and return its result."""
    predictions = [Prediction(f"IMG_{n}.jpg", n, float(n + (seed + 1) * n % 5)) for n in range(4)]
    arguments = {"model": "csrnet", "model_kwargs": {"width": 0.125}, "lr": 1e-3}
    made = {"task": {"class": "dotally.tasks.CountingTask", "arguments": arguments}, "max_epochs": 2, "protocol": "val"}
    data = {"class": "dotally.data.synthetic_crowd.SyntheticCrowd", "arguments": {"crop": 64, "scale": [1.0, 1.0]}}
    result = Result(
        table="tiny",
        row=row,
        column="crowd",
        seed=seed,
        key=f"{seed}{abs(hash((row, str(spec)))):063x}",
        spec=spec or {"data": data, **made},
        data="d" * 64,
        code="c" * 64,
        metrics={**recompute(predictions), "game0": 3.0},
        facts={"pictures": 4, "parameters": 7, "best_epoch": 1, "best": {"val/mae": 2.0}, "seconds": 1.0},
        environment={"packages": {"torch": "2.13.0"}, "commit": "a" * 40, "dirty": False, "device": "cpu"},
    )
    rows = [{"epoch": e, "step": 2 * e + 2, "lr/0": 1e-3, "train/loss": 3.0 - e, "val/mae": 3.0 - e} for e in range(2)]
    result.write(folder / "run.json")
    write_predictions(folder / "predictions.csv", predictions)
    (folder / "metrics.csv").write_text(render(rows))
    return result
