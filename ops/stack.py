"""Builds and deploys the stack with the SAM CLI, and creates AWS clients."""

import fcntl
import json
import os
import platform
import re
import subprocess
import tempfile
from contextlib import contextmanager
from functools import cache
from pathlib import Path

import boto3
from botocore.exceptions import ClientError, NoCredentialsError, NoRegionError, PartialCredentialsError

from alive import CARGO_PROGRESS, follow, step
from program import KEPT, ROOT, VENV, Failed, interrupt, output_of, spawn

STACK = "ota-on-upload"
# The target of Rust for each architecture of Lambda.
TARGETS = {"x86_64": "x86_64-unknown-linux-gnu", "arm64": "aarch64-unknown-linux-gnu"}
INVALID_CREDENTIALS = (
    *("ExpiredToken", "ExpiredTokenException", "InvalidAccessKeyId", "InvalidClientTokenId", "InvalidToken"),
    *("SignatureDoesNotMatch", "UnrecognizedClientException"),
)


@cache
def client(service):
    """Returns the client of an AWS service. boto3 itself does not read AWS_REGION."""
    try:
        return boto3.client(service, region_name=os.environ.get("AWS_REGION") or None)
    except ValueError as error:
        raise Failed(f"an environment variable of AWS is invalid: {error}") from error


def failures(outputs):
    """Returns the number of events in a stack's failure queue, including those that the function is processing."""
    return sum(failures_by_state(outputs))


def failures_by_state(outputs):
    """Returns the number of events in a stack's failure queue, and the number of those that the queue hides."""
    names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
    queue = {"QueueUrl": outputs["FailureQueueUrl"], "AttributeNames": names}
    found = client("sqs").get_queue_attributes(**queue)["Attributes"]
    return [int(found[name]) for name in names]


def find_stack(cloudformation, name):
    """Returns a stack as CloudFormation describes it; `None` if it does not exist."""
    try:
        (stack,) = cloudformation.describe_stacks(StackName=name)["Stacks"]
    except ClientError as error:
        if "does not exist" in str(error):
            return None
        raise
    return stack


def described(cloudformation, name):
    """Returns a stack as CloudFormation describes it. Fails if it does not exist."""
    if not (stack := find_stack(cloudformation, name)):
        region = cloudformation.meta.region_name
        raise Failed(f"the stack {name} does not exist in {region}: name another with STACK=…")
    return stack


def reason(error):
    """Returns the reason of an error of an AWS client in one line, with the remedy if it is a common one."""
    match error:
        case NoRegionError():
            return "no Region is set: put AWS_REGION=… before the command, or run `aws configure`"
        case NoCredentialsError() | PartialCredentialsError():
            return "no complete credentials are set: put AWS_PROFILE=… before the command, or run `aws configure`"
        case ClientError():
            details = error.response.get("Error", {})
            code, message = details.get("Code", "unknown error"), details.get("Message", "")
            if code in INVALID_CREDENTIALS:
                return f"AWS does not accept the credentials ({code}): sign in again, for example with `aws sso login`"
            return f"{error.operation_name} failed with {code}: {message}"
    return " ".join(str(error).split())


@contextmanager
def built(title, built_for=None):
    """Runs `sam build` as a step, for an architecture of Lambda or for that of this machine.

    During the body, no other command replaces what was built.
    """
    if built_for is None:
        built_for = architecture(platform.machine())
    if built_for not in TARGETS:
        raise Failed(f"Architecture is `{built_for}`, expected {' or '.join(TARGETS)}")
    KEPT.mkdir(exist_ok=True)
    with (KEPT / "build.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            with step("wait for another command that uses .aws-sam"):
                fcntl.flock(lock, fcntl.LOCK_EX)
        with step(title) as about:
            _build(about, built_for)
        yield


def _build(about, built_for):
    """Builds as for production: with the versions in Cargo.lock, and without paths of this machine.

    `about` is the step that shows the progress.
    """
    output_of("cargo", "fetch", "--locked", "--quiet", "--target", TARGETS[built_for])
    toolchain = output_of("rustc", "--print", "sysroot").strip()
    (commit,) = re.findall("^commit-hash: (.*)", output_of("rustc", "--verbose", "--version"), re.MULTILINE)
    crates = Path(os.environ.get("CARGO_HOME") or Path.home() / ".cargo", "registry/src")
    # The last matching prefix applies.
    names = {f"{toolchain}/lib/rustlib/src/rust": f"/rustc/{commit}", ROOT: "/ota-on-upload"}
    names |= {path: "/crates" for path in crates.glob("*")}
    # Cargo splits the variable at spaces.
    flags = " ".join(f"--remap-path-prefix={path}={name}" for path, name in names.items() if " " not in str(path))
    # SAM runs the same command without progress, and then finds the function up to date.
    _compile(about, ["--arm64"] if built_for == "arm64" else [], flags)
    sam("build", environment={"RUSTFLAGS": flags}, Architecture=built_for)


def _compile(about, options, flags):
    command = [VENV / "aws/bin/cargo-lambda", "lambda", "build", "--release", *options]
    environment = os.environ | CARGO_PROGRESS | {"RUSTFLAGS": flags, "PATH": tools()}
    process = spawn(
        command,
        cwd=ROOT,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
    )
    try:
        output = follow(process.stdout, about)
        process.wait()
    finally:
        interrupt(process)
        process.stdout.close()
    if process.returncode:
        raise Failed(f"cargo lambda build failed:\n{output}")


def sam(*arguments, environment=None, **parameters):
    """Runs the SAM CLI with these parameters of the template; returns its standard output and standard error."""
    program = [VENV / "aws/bin/python", ROOT / "ops/sam_invoke.py"] if arguments[0] == "local" else ["sam"]
    parameters = {"Architecture": architecture(platform.machine())} | parameters
    with tempfile.TemporaryDirectory(prefix="sam-") as scratch:
        settings = {
            "SAM_CLI_TELEMETRY": "0",
            "__SAM_CLI_APP_DIR": str(KEPT / "sam"),
            "TMPDIR": scratch,
            "PATH": tools(),
        }
        if region := os.environ.get("AWS_REGION"):  # SAM does not read it
            settings["AWS_DEFAULT_REGION"] = region
        overrides = Path(scratch, "parameters.yaml")
        overrides.write_text(json.dumps(parameters))
        KEPT.mkdir(exist_ok=True)
        process = spawn(
            [*program, *arguments, "--parameter-overrides", f"file://{overrides}"],
            **{"cwd": ROOT, "env": os.environ | settings | (environment or {}), "text": True},
            **{"stdout": subprocess.PIPE, "stderr": subprocess.PIPE},
        )
        try:
            output, errors = process.communicate()
        finally:
            interrupt(process)
    if process.returncode:
        raise Failed(f"sam {arguments[0]} failed:\n{output}{errors}")
    return output, errors


def tools():
    """Returns the PATH on which SAM finds cargo-lambda, and cargo-lambda finds zig."""
    return f"{VENV / 'aws/bin'}{os.pathsep}{os.environ['PATH']}"


def architecture(machine):
    """Returns Lambda's name for the architecture of a machine."""
    return "arm64" if machine in ("aarch64", "arm64") else "x86_64"
