"""Runs the function for a replay. Each runner returns the result, or `None` without one, and the log."""

import json
import os
import re
import subprocess
import tempfile
import time
from pathlib import Path

from samcli.yamlhelper import yaml_dump, yaml_parse

from program import KEPT, ROOT, TARGET, THIS_MACHINE, VENV, Failed, free_port, is_open, spawn, stop
from stack import sam
from watched import report_errors

BUILT = ROOT / ".aws-sam/build"


def by_sam(event, settings):
    """Runs the function of `sam build` in Docker; returns its result and its log."""
    built = BUILT / "template.yaml"
    if not built.exists():
        raise Failed("the function is not built: run `sam build`, or `make invoke`, which builds it")
    KEPT.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="replay-", dir=KEPT) as scratch:
        options = []
        if endpoint := os.environ.get("AWS_ENDPOINT_URL"):
            # SAM passes only variables of the template to the function.
            template = yaml_parse(built.read_text())
            function = template["Resources"]["Function"]["Properties"]
            function["CodeUri"] = str(BUILT / function["CodeUri"])
            function["Environment"]["Variables"]["AWS_ENDPOINT_URL"] = endpoint
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
        raise Failed("the function is not built: run `make build`, or `make invoke-cargo`, which builds it")
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
    """Runs the function of `make watch`; returns its result, and where its log is."""
    # The local cloud has binaries of its own, so the function needs its name.
    output = invoke_at(port, event, lambda: is_open(port) and not report_errors(), "bootstrap")
    return answer(output, "see `make watch`")


def invoke_at(port, event, is_alive, *function):
    """Returns the output of `cargo lambda invoke`; empty if the function is no longer alive."""
    KEPT.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="replay-", dir=KEPT) as scratch:
        file = written(scratch, "event.json", json.dumps(event))
        command = cargo_lambda("invoke", port, "--output-format", "json", "--data-file", file, *function)
        process = spawn(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        try:
            while is_alive():
                try:
                    output, errors = process.communicate(timeout=0.5)
                    return output if process.returncode == 0 else failed(errors.partition("Was this behavior")[0])
                except subprocess.TimeoutExpired:
                    pass
        finally:
            stop(process)
    return ""


def failed(errors):
    """Returns an error of the function in Lambda's form. cargo-lambda prints its type and its message in lines."""
    kind = re.match(r"Error: (\w+)\n", errors)
    if not kind:
        return errors
    lines = re.findall(r"^  [×│] (.+)$", errors, re.M)
    return json.dumps({"errorType": kind[1], "errorMessage": " ".join(line.strip() for line in lines)})


def cargo_lambda(command, port, *options):
    return [VENV / "aws/bin/cargo-lambda", "lambda", command, "-A", THIS_MACHINE, "-P", str(port), *options]


def await_port(port, process):
    while not is_open(port):
        if process.poll() is not None:
            raise Failed("cargo lambda watch did not start")
        time.sleep(0.02)


def answer(output, log):
    """Returns the function's result, or `None` without one, and its log."""
    try:
        return json.loads(output), log
    except ValueError:
        return None, log + output


def written(folder, name, text):
    path = Path(folder, name)
    path.write_text(text)
    return str(path)
