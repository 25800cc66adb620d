"""Replays an event: through the function as `sam build` makes it, in Docker, or as `cargo build` makes it.

    replay.py sam      in Docker, by `sam local invoke`
    replay.py cargo    without Docker, by `cargo lambda invoke`
    replay.py watch    on the local cloud, built anew after each change: `cargo lambda watch`
    replay.py event    writes the event of an object that exists
    replay.py image    names the image in which SAM runs the function

The Makefile says what each reads from the environment.
"""

import json
import os
import platform
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote_plus, unquote_plus

import boto3
from botocore.exceptions import BotoCoreError, ClientError
from docker.errors import DockerException, ImageNotFound
from requests.exceptions import RequestException
from samcli.commands.exceptions import UserException
from samcli.local.docker.lambda_image import LambdaImage, Runtime
from samcli.local.docker.utils import get_validated_container_client
from samcli.yamlhelper import yaml_dump, yaml_parse

from alive import rows, show, step
from cloud import (
    KEPT,
    ROOT,
    SIGNING_PROFILE,
    TARGET,
    VENV,
    Cloud,
    Failed,
    free_port,
    isolate,
    reach,
    run,
    sam,
    spawn,
    stop,
)

EVENTS = ROOT / "events"
DRY_RUN = EVENTS / "env/dry-run.json"
BUILT = ROOT / ".aws-sam/build"
WATCHED = KEPT / "watch.json"
WATCH_PORT = 9000
THIS_MACHINE = "127.0.0.1"


# Where the settings come from, and what the function reaches.


@contextmanager
def dry_run(event, _host):
    """No AWS at all: sample settings, and tags that are given."""
    isolate()
    settings = sample_settings()
    if tags := os.environ.get("TAGS"):
        settings["DRY_RUN_TAGS"] = tags
    yield settings, event


@contextmanager
def local_cloud(event, host):
    """A local cloud, for this replay alone, with the objects that the event tells of."""
    tags = tags_of_uploads()
    with Cloud(host) as cloud:
        with step("prepare the local cloud"):
            settings = settings_on(cloud, tags)
            event = put_objects(event, settings["UPLOAD_BUCKET"], tags)
        yield settings, event


@contextmanager
def account(event, _host):
    """A real account, with the settings of the function that is deployed there."""
    if os.environ.get("TAGS"):
        raise Failed("TAGS has no use with MODE=account, where the object's own tags are read")
    try:
        stack = os.environ.get("STACK") or "ota-on-upload"
        (about,) = boto3.client("cloudformation").describe_stacks(StackName=stack)["Stacks"]
        name = next(output["OutputValue"] for output in about["Outputs"] if output["OutputKey"] == "FunctionName")
        function = boto3.client("lambda").get_function_configuration(FunctionName=name)
        session = boto3.Session()
        credentials = session.get_credentials().get_frozen_credentials()
    except (BotoCoreError, ClientError) as error:
        raise Failed(f"the settings of the deployed stack cannot be read: {error}") from error
    except StopIteration:
        raise Failed(f"the stack {stack} has no output FunctionName: is it a stack of this template?") from None
    # The function takes credentials in this form alone: neither a profile nor a sign-on.
    os.environ |= {
        "AWS_REGION": session.region_name,
        "AWS_ACCESS_KEY_ID": credentials.access_key,
        "AWS_SECRET_ACCESS_KEY": credentials.secret_key,
        "AWS_SESSION_TOKEN": credentials.token or "",
    }
    os.environ.pop("AWS_PROFILE", None)
    release = os.environ.get("RELEASE") == "yes"
    yield function["Environment"]["Variables"] | {"DRY_RUN": str(not release).lower(), "DRY_RUN_TAGS": ""}, event


MODES = {"dry-run": dry_run, "local-cloud": local_cloud, "account": account}


def sample_settings():
    path = Path(os.environ.get("ENV_VARS") or DRY_RUN)
    try:
        return json.loads(path.read_text())["Function"]
    except (OSError, ValueError, KeyError) as error:
        raise Failed(f"{path} is no environment file as {DRY_RUN.relative_to(ROOT)} is one: {error!r}") from error


def settings_on(cloud, tags=""):
    """Makes on a local cloud what a stack would, without deploying one, and returns the settings for it."""
    cloud.provision(tags)
    settings = json.loads(DRY_RUN.read_text())["Function"]
    role = cloud.without_stack(settings["UPLOAD_BUCKET"])
    return settings | {
        "OTA_ROLE_ARN": role,
        "SIGNING_PROFILE": SIGNING_PROFILE,
        "DRY_RUN": "false",
        "DRY_RUN_TAGS": "",
    }


def tags_of_uploads():
    return os.environ.get("TAGS") or "ota:thing-group=lab"


def put_objects(event, bucket, tags):
    """Puts the objects that an event tells of; returns the event with the versions that they have here."""
    event = json.loads(json.dumps(event))
    s3, versions = boto3.client("s3"), {}
    records = event.get("Records", []) if isinstance(event, dict) else []
    for record in records:
        if record.get("s3", {}).get("bucket", {}).get("name") != bucket:
            continue
        told = record["s3"]["object"]
        key, size = unquote_plus(told["key"]), told.get("size", 1024)
        if (key, told.get("versionId")) not in versions:
            image = Path(os.environ["FIRMWARE"]).read_bytes() if os.environ.get("FIRMWARE") else os.urandom(size)
            put = s3.put_object(Bucket=bucket, Key=key, Body=image, Tagging=tags)
            versions[key, told.get("versionId")] = put["VersionId"], len(image)
        version, size = versions[key, told.get("versionId")]
        told |= {name: new for name, new in (("versionId", version), ("size", size)) if name in told}
    return event


# What runs the function.


def by_sam(event, settings):
    """Runs the function of `sam build` in Docker; returns its result and its log."""
    template = BUILT / "template.yaml"
    if not template.exists():
        raise Failed("there is no build of the function: run `sam build`, or `make invoke`, which does")
    KEPT.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="replay-", dir=KEPT) as scratch:
        template = yaml_parse(template.read_text())
        function = template["Resources"]["Function"]["Properties"]
        declared = function["Environment"]["Variables"]
        if unset := sorted(set(declared) - set(settings)):
            raise Failed(f"no value is given for {', '.join(unset)}: is the deployed stack of another version?")
        options = []
        if endpoint := os.environ.get("AWS_ENDPOINT_URL"):
            # SAM hands the function only variables that its template has.
            function["CodeUri"] = str(BUILT / function["CodeUri"])
            declared["AWS_ENDPOINT_URL"] = endpoint
            settings = settings | {"AWS_ENDPOINT_URL": endpoint}
            options = ["--template", written(scratch, "template.yaml", yaml_dump(template))]
        output, log = sam(
            *("local", "invoke", "Function", "--skip-pull-image", *options),
            *("--event", written(scratch, "event.json", json.dumps(event))),
            *("--env-vars", written(scratch, "env.json", json.dumps({"Function": settings}))),
        )
    return answer(output, log)


def by_cargo(event, settings):
    """Runs the function of `cargo build` behind cargo-lambda's runtime API; returns its result and its log."""
    function = TARGET / "debug/bootstrap"
    if not function.exists():
        raise Failed("there is no build of the function: run `make build`, or `make invoke-cargo`, which does")
    port = free_port()
    with tempfile.TemporaryFile("w+") as log:
        quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        children = [spawn(cargo_lambda("watch", port, "--only-lambda-apis"), **quiet)]
        try:
            await_port(port, children[0])
            runtime = {
                "AWS_LAMBDA_RUNTIME_API": f"http://{THIS_MACHINE}:{port}/.rt",
                "AWS_LAMBDA_FUNCTION_NAME": "_",
                "AWS_LAMBDA_FUNCTION_VERSION": "1",
                "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "128",
            }
            children.append(spawn([function], env=os.environ | settings | runtime, stdout=log, stderr=log))
            output = invoke_at(port, event, lambda: children[1].poll() is None)
        finally:
            for child in reversed(children):
                stop(child)
        log.seek(0)
        return answer(output, log.read())


def by_watch(event, port):
    """Runs the function that `make watch` keeps; returns its result and where its log is."""
    return answer(invoke_at(port, event, lambda: is_open(port)), "see `make watch`")


def invoke_at(port, event, is_alive):
    """The answer of `cargo lambda invoke`, or nothing where the function is not alive to give one."""
    KEPT.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="replay-", dir=KEPT) as scratch:
        file = written(scratch, "event.json", json.dumps(event))
        command = cargo_lambda("invoke", port, "--output-format", "json", "--data-file", file)
        process = spawn(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        try:
            while is_alive():
                try:
                    output, errors = process.communicate(timeout=0.5)
                    return output if process.returncode == 0 else errors.partition("Was this behavior")[0]
                except subprocess.TimeoutExpired:
                    pass
        finally:
            stop(process)
    return ""


def cargo_lambda(command, port, *options):
    return [VENV / "aws/bin/cargo-lambda", "lambda", command, "-A", THIS_MACHINE, "-P", str(port), *options]


def await_port(port, process):
    while not is_open(port):
        if process.poll() is not None:
            raise Failed("cargo lambda watch did not start")
        time.sleep(0.02)


def is_open(port):
    with socket.socket() as candidate:
        return not candidate.connect_ex((THIS_MACHINE, port))


def answer(output, log):
    """The function's result, or `None` if it gave none; and its log."""
    try:
        return json.loads(output), log
    except ValueError:
        return None, log + output


def written(folder, name, text):
    path = Path(folder, name)
    path.write_text(text)
    return str(path)


# Docker.


def engine():
    """The Docker engine that SAM will use, with the image of Lambda's runtime on it."""
    instead = "Without Docker, `make invoke-cargo` does the same."
    try:
        client = get_validated_container_client()
        client.ping()
    except (UserException, DockerException, RequestException) as error:
        if not shutil.which("docker"):
            why = "Docker is not installed"
        elif may_not_use_docker():
            why = "Docker is there, but this user may not use it: join the group `docker`"
        else:
            why = "Docker is installed, but its engine does not answer: start it"
        raise Failed(f"{why}. {instead}") from error
    image = base_image(client.info()["Architecture"])
    try:
        client.images.get(image)
    except ImageNotFound:
        try:
            with step(f"docker pull {image}"):
                client.images.pull(image)
        except (DockerException, RequestException) as error:
            raise Failed(f"the image {image} is not here and cannot be had: {error}. {instead}") from error
    return client


def may_not_use_docker():
    path = os.environ.get("DOCKER_HOST", "unix:///var/run/docker.sock").removeprefix("unix://")
    return os.path.exists(path) and not os.access(path, os.W_OK)


def base_image(machine):
    """The name of the image in which SAM runs the function."""
    architecture = "arm64" if machine in ("aarch64", "arm64") else "x86_64"
    return f"{LambdaImage._INVOKE_REPO_PREFIX}/{Runtime.get_image_name_tag('provided.al2023', architecture)}"


def bridge(client):
    """The address by which containers reach this machine. A name would not do: S3 clients put the bucket before it."""
    return client.networks.get("bridge").attrs["IPAM"]["Config"][0]["Gateway"]


# The commands.


def invoke(runner):
    event, place = event_of(os.environ.get("EVENT")), MODES[mode()]
    if runner is by_cargo and place is local_cloud and (watched := watch_that_runs()):
        reach(watched["endpoint"])
        event = put_objects(event, watched["bucket"], tags_of_uploads())
        return report(*by_watch(event, watched["port"]))
    host = THIS_MACHINE
    if runner is by_sam:
        host = bridge(engine())
        with step("sam build"):
            sam("build")
    with (
        place(event, host) as (settings, event),
        step("sam local invoke" if runner is by_sam else "cargo lambda invoke"),
    ):
        result, log = runner(event, settings)
    return report(result, log)


def mode():
    named = os.environ.get("MODE") or "dry-run"
    if named not in MODES:
        raise Failed(f"MODE is `{named}`, expected one of {', '.join(MODES)}")
    return named


def event_of(path):
    if not path:
        names = ", ".join(file.name for file in samples())
        raise Failed(f"EVENT is missing: name a file, such as one of those in events/: {names}")
    try:
        event = json.loads(Path(path).read_text())
    except (OSError, ValueError) as error:
        raise Failed(f"the event {path} cannot be read: {error}") from error
    return event


def samples():
    """The sample events."""
    return sorted(file for file in EVENTS.glob("*.json") if not file.name.endswith(".result.json"))


def report(result, log):
    if result is not None:
        show("Result", *json.dumps(result, indent=2, ensure_ascii=False).splitlines())
        releases = result.get("releases", []) if isinstance(result, dict) else []
        for document in [release["createJob"]["document"] for release in releases if "createJob" in release]:
            show("Job document", *json.dumps(json.loads(document), indent=2, ensure_ascii=False).splitlines())
    show("Log", *(line for text in log.splitlines() for line in readable(text)))
    if result is None or "errorType" in result:
        raise Failed("the function failed" if result else "the function gave no result: its log tells why")


def readable(text):
    """A line of the log: one in JSON as rows, and nothing of SAM's own."""
    try:
        line = json.loads(text)
    except ValueError:
        chatter = (
            "No current session",
            "Invoking ",
            "Requested to skip",
            "Mounting ",
            "SAM_CONTAINER_ID",
            "Local image",
        )
        return [] if not text.strip() or text.startswith((*chatter, "Building image", "Removing rapid")) else [text]
    if not isinstance(line, dict):
        return [text]
    framing = ("timestamp", "level", "target", "span")
    told = {name: value for name, value in line.items() if name not in framing}
    told = {name: value if isinstance(value, str) else json.dumps(value) for name, value in told.items()}
    return [f"{line.get('level', '')}  {line.get('timestamp', '')}", *(f"    {row}" for row in rows(told))]


def watch_that_runs():
    try:
        watched = json.loads(WATCHED.read_text())
    except (OSError, ValueError):
        return None
    return watched if is_open(watched["port"]) else None


def watch():
    if is_open(WATCH_PORT):
        raise Failed(f"port {WATCH_PORT} is taken: does `make watch` run already?")
    with Cloud() as cloud:
        with step("prepare the local cloud"):
            settings = settings_on(cloud, tags_of_uploads())
        about = {"endpoint": cloud.endpoint, "port": WATCH_PORT, "bucket": settings["UPLOAD_BUCKET"]}
        KEPT.mkdir(exist_ok=True)
        WATCHED.write_text(json.dumps(about))
        print("\nEdit src/, and replay in another terminal: make invoke-cargo MODE=local-cloud EVENT=events/put.json\n")
        try:
            environment = os.environ | settings | {"PATH": f"{VENV / 'aws/bin'}{os.pathsep}{os.environ['PATH']}"}
            return subprocess.run(cargo_lambda("watch", WATCH_PORT), cwd=ROOT, env=environment).returncode
        finally:
            WATCHED.unlink(missing_ok=True)


def write_event():
    bucket, key, version = (os.environ.get(name) for name in ("BUCKET", "KEY", "VERSION"))
    if not (bucket and key):
        raise Failed("make event BUCKET=… KEY=… [VERSION=…] [OUT=event.json]: BUCKET or KEY is missing")
    where = {"Bucket": bucket, "Key": key} | ({"VersionId": version} if version else {})
    try:
        s3 = boto3.client("s3")
        head = s3.head_object(**where)
    except (BotoCoreError, ClientError) as error:
        raise Failed(f"s3://{bucket}/{key} cannot be read: {error}") from error
    if "VersionId" not in head:
        raise Failed(f"s3://{bucket}/{key} has no versions: the function releases objects of versioned buckets alone")
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
    path.write_text(json.dumps({"Records": [record]}, indent=2) + "\n")
    print(f"✓ {path} tells of s3://{bucket}/{key}, version {head['VersionId']}")
    print(f"  make invoke MODE=account EVENT={path} checks its release; RELEASE=yes beside it makes the job")


COMMANDS = {
    "sam": lambda: invoke(by_sam),
    "cargo": lambda: invoke(by_cargo),
    "watch": watch,
    "event": write_event,
    "image": lambda: print(base_image(platform.machine())),
}

if __name__ == "__main__":
    if len(sys.argv) != 2 or sys.argv[1] not in COMMANDS:
        sys.exit(f"usage: replay.py {'|'.join(COMMANDS)}")
    run(COMMANDS[sys.argv[1]])
