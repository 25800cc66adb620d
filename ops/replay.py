"""Replays an event through the function of `sam build` or of `cargo build`.

- `replay.py sam` uses Docker and `sam local invoke`.
- `replay.py cargo` uses `cargo lambda invoke`, without Docker.
- `replay.py watch` uses `cargo lambda watch` on the local cloud, which builds again after each change.
- `replay.py event` writes the event of an existing object.
- `replay.py image` prints the name of the image in which SAM runs the function.

The Makefile lists the environment variables of each.
"""

import json
import os
import platform
import re
import subprocess
import sys
from difflib import get_close_matches
from pathlib import Path
from urllib.parse import quote_plus

from botocore.exceptions import BotoCoreError, ClientError

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests/local_cloud"))

from cloud import Cloud, reach, tags_of_uploads

import engine
from alive import is_redundant, log_line, printable, rows, show, step
from modes import local_cloud, mode, put_objects, settings_on
from program import ROOT, THIS_MACHINE, Failed, Rejected, free_port, interrupt, run, spawn
from runners import by_cargo, by_sam, by_watch, cargo_lambda
from stack import built, client, reason
from watched import WATCHED, Builds, await_build, running_watch

EVENTS = ROOT / "events"
# The beginnings of the lines that SAM adds to the log.
SAM_LINES = re.compile("Building|Invoking|Local image|Mounting|No current|Removing|Requested to|SAM_CONTAINER")


def invoke(runner):
    event, place = event_of(os.environ.get("EVENT")), mode()
    if runner is by_cargo and place is local_cloud and WATCHED.exists():
        if not (watched := running_watch()):
            WATCHED.unlink()
            raise Failed("`make watch` was killed, so the function was not built: run the command again")
        if os.environ.get("ENV_VARS"):
            raise Failed("ENV_VARS has no effect on the running `make watch`: end it, and start it with ENV_VARS=…")
        reach(watched["endpoint"])
        with step("wait for the build of `make watch`"):
            await_build()
        event = put_objects(event, watched["bucket"], tags_of_uploads())
        with step("cargo lambda invoke, with `make watch`"):
            result, log = by_watch(event, watched["port"])
        return report(result, log)
    host = THIS_MACHINE
    if runner is by_sam:
        docker = engine.start()
        if place is local_cloud:
            host = engine.bridge(docker)
    with place(event, host) as (settings, event):
        if runner is by_sam:
            with built("sam build"), step("sam local invoke"):
                result, log = by_sam(event, settings)
        else:
            with step("cargo lambda invoke"):
                result, log = by_cargo(event, settings)
    return report(result, log)


def event_of(path):
    """Returns the event in a file, or the sample event of this name."""
    if not path:
        show("Sample events", *rows({f"EVENT=events/{name}.json": use for name, use in uses_of_samples().items()}))
        print()
        raise Failed("EVENT is missing: name one of the sample events above, or a file of your own")
    file = EVENTS / f"{path}.json" if path in uses_of_samples() else Path(path)
    try:
        event = json.loads(file.read_text())
    except (OSError, ValueError, RecursionError) as error:
        near = get_close_matches(file.stem, uses_of_samples(), 1)
        hint = f"; did you mean EVENT=events/{near[0]}.json?" if near and not file.exists() else ""
        raise Failed(f"the event {path} cannot be read: {error}{hint}") from error
    if os.environ.get("MANIFEST") and ".ota.json" not in json.dumps(event).lower():
        raise Failed(f"MANIFEST cannot be used with EVENT={path}, which names no ….ota.json: use events/manifest.json")
    return event


def uses_of_samples():
    """Returns the use of each sample event, from the page about replays."""
    found = re.findall(r"^\| `(\S+)` \| (.*) \|$", (ROOT / "docs/developer/replay.md").read_text(), re.M)
    return {name: use for name, use in found if (EVENTS / f"{name}.json").exists()}


def samples():
    """Returns the paths of the sample events."""
    return sorted(file for file in EVENTS.glob("*.json") if not file.name.endswith(".result.json"))


def report(result, log):
    if result is not None:
        show("Result", *json.dumps(result, indent=2, ensure_ascii=False).splitlines())
        releases = result.get("releases", []) if isinstance(result, dict) else []
        for document in [release["createJob"]["document"] for release in releases if "createJob" in release]:
            show("Job document", *json.dumps(json.loads(document), indent=2, ensure_ascii=False).splitlines())
    show("Log", *(line for text in log.splitlines() for line in readable(text)))
    if result is None or "errorType" in result:
        raise Failed("the function failed" if result else "the function returned no result: see its log")
    if rejected := [each for each in result.get("releases", []) if each.get("outcome") == "rejected"]:
        raise Rejected(f"the release is rejected: see `reasons`{f' ({len(rejected)} releases)' * (len(rejected) > 1)}")


def readable(text):
    """Returns a line of the log, as rows if it is JSON. Omits lines of SAM, and redundant ones."""
    try:
        line = json.loads(text)
    except ValueError:
        return [text] if text.strip() and not SAM_LINES.match(text) else []
    if isinstance(line, dict) and is_redundant(line):
        return []
    return log_line(line) if isinstance(line, dict) else [text]


def watch():
    if running_watch():
        raise Failed("`make watch` is already running")
    port, color = free_port(), "always" if sys.stdout.isatty() else "never"
    with Cloud() as cloud:
        with step("prepare the local cloud"):
            settings = settings_on(cloud, tags_of_uploads())
        about = {"endpoint": cloud.endpoint, "port": port, "bucket": settings["UPLOAD_BUCKET"]}
        builds = Builds(about)
        print("\nEdit src/, and replay in another terminal: make invoke-cargo MODE=local-cloud EVENT=events/put.json\n")
        process = spawn(
            cargo_lambda("watch", port),
            **{"cwd": ROOT, "env": {"CARGO_TERM_COLOR": color} | os.environ | settings},
            **{"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True, "errors": "replace"},
        )
        try:
            for line in process.stdout:
                if builds.read(line):
                    print(line, end="", flush=True)
            return process.wait()
        finally:
            WATCHED.unlink(missing_ok=True)
            interrupt(process)
            process.stdout.close()


def write_event():
    bucket, key, version = (os.environ.get(name) for name in ("BUCKET", "KEY", "VERSION"))
    if not (bucket and key):
        raise Failed("make event BUCKET=… KEY=… [VERSION=…] [OUT=event.json]: BUCKET or KEY is missing")
    where = {"Bucket": bucket, "Key": key} | ({"VersionId": version} if version else {})
    try:
        s3 = client("s3")
        head = s3.head_object(**where)
    except (BotoCoreError, ClientError) as error:
        raise Failed(f"s3://{bucket}/{key} cannot be read: {reason(error)}") from error
    if head.get("VersionId", "null") == "null":
        raise Failed(
            f"s3://{bucket}/{key} has no version ID: enable versioning of the bucket, and upload the object again"
        )
    record = {
        "eventVersion": "2.1",
        "eventSource": "aws:s3",
        "awsRegion": s3.meta.region_name,
        "eventTime": head["LastModified"].strftime("%Y-%m-%dT%H:%M:%S.000Z"),
        "eventName": "ObjectCreated:Put",
        "userIdentity": {"principalId": "make event"},
        "requestParameters": {"sourceIPAddress": "127.0.0.1"},
        "responseElements": {},
        "s3": {
            "s3SchemaVersion": "1.0",
            "bucket": {"name": bucket, "arn": f"arn:{s3.meta.partition}:s3:::{bucket}"},
            "object": {
                "key": quote_plus(key, safe="/"),
                "size": head["ContentLength"],
                "eTag": head["ETag"].strip('"'),
                "versionId": head["VersionId"],
            },
        },
    }
    path = Path(os.environ.get("OUT") or "event.json")
    try:
        path.write_text(json.dumps({"Records": [record]}, indent=2) + "\n")
    except OSError as error:
        raise Failed(f"OUT cannot be written: {error}") from error
    print(printable(f"✓ {path} has the event of s3://{bucket}/{key}, version {head['VersionId']}"))
    checks = f"  make invoke MODE=account EVENT={path} checks its release; with RELEASE=yes, it creates the job"
    print(printable(checks))


COMMANDS = {
    "sam": lambda: invoke(by_sam),
    "cargo": lambda: invoke(by_cargo),
    "watch": watch,
    "event": write_event,
    "image": lambda: print(engine.base_image(platform.machine())),
}

if __name__ == "__main__":
    if len(sys.argv) != 2 or sys.argv[1] not in COMMANDS:
        sys.exit(f"usage: replay.py {'|'.join(COMMANDS)}")
    run(COMMANDS[sys.argv[1]])
