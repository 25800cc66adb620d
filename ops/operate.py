"""The commands of operators for a stack, in an account or on a local cloud.

- `operate.py zip` builds the function, and prints the SHA-256 of the archive that is deployed.
- `operate.py deploy` creates or upgrades the stack.
- `operate.py logs` prints the function's log.
- `operate.py redrive` has the function process the failure queue, until it is empty or nothing changes.
- `operate.py destroy` deletes the stack.

The Makefile lists the environment variables of each.
"""

import base64
import difflib
import hashlib
import json
import logging
import os
import re
import shlex
import signal
import sys
import time
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

from botocore.exceptions import BotoCoreError, ClientError, ParamValidationError
from samcli.lib.package.utils import make_zip_with_lambda_permissions
from samcli.yamlhelper import yaml_parse

from alive import log_line, printable, rows, show, step
from program import ROOT, Failed, run
from stack import build, client, failures, sam

STACK = os.environ.get("STACK") or "ota-on-upload"
BUILT = ROOT / ".aws-sam"
# In seconds. An invocation lasts two minutes at most.
PATIENCE = 180


def template_parameters():
    """Returns the parameters of the template."""
    return yaml_parse((ROOT / "template.yaml").read_text())["Parameters"]


def parameters_to_set():
    """Returns the parameters in PARAMETERS: `Name=value …`, or the path of a file with one on each line."""
    text = os.environ.get("PARAMETERS") or ""
    if "=" in text or not text:
        words = shlex.split(text)
    else:
        try:
            lines = map(str.strip, Path(text).read_text().splitlines())
        except OSError as error:
            raise Failed(f"the file in PARAMETERS cannot be read: {error}") from error
        words = [line for line in lines if line and not line.startswith("#")]
    names, parameters = template_parameters(), {}
    for word in words:
        name, equals, value = word.partition("=")
        if not equals:
            raise Failed(f"PARAMETERS has `{word}`, expected Name=value")
        if name not in names:
            (near, *_) = difflib.get_close_matches(name, names, 1, 0) or [""]
            raise Failed(f"PARAMETERS has the unknown parameter `{name}`: did you mean `{near}`?")
        if name in parameters:
            raise Failed(f"PARAMETERS has `{name}` twice")
        parameters[name] = value
    return parameters


def deployed():
    """Returns the stack as CloudFormation describes it; `None` if it does not exist."""
    try:
        (stack,) = client("cloudformation").describe_stacks(StackName=STACK)["Stacks"]
    except ClientError as error:
        if "does not exist" in str(error):
            return None
        raise
    return stack


def stack_outputs():
    stack = deployed()
    if not stack:
        region = client("cloudformation").meta.region_name
        raise Failed(f"the stack {STACK} does not exist in {region}: name another with STACK=…")
    outputs = {output["OutputKey"]: output["OutputValue"] for output in stack.get("Outputs", [])}
    if "RedriveMapping" not in outputs:
        raise Failed(f"the stack {STACK} has no output RedriveMapping: is it a stack of this template?")
    return outputs


def archive(architecture):
    """Builds the function; returns the path and the SHA-256 of the zip that `sam deploy` uploads."""
    with step(f"sam build, for {architecture}"):
        build(Architecture=architecture)
    path = Path(
        make_zip_with_lambda_permissions(str(BUILT / f"function-{architecture}"), str(BUILT / "build/Function"))
    )
    return path, hashlib.sha256(path.read_bytes())


def make_zip():
    architecture = parameters_to_set().get("Architecture", template_parameters()["Architecture"]["Default"])
    path, digest = archive(architecture)
    facts = {
        "bytes": f"{path.stat().st_size:,}",
        "SHA-256": digest.hexdigest(),
        "CodeSha256": f"{base64.b64encode(digest.digest()).decode()} (the same, as Lambda shows it)",
    }
    show(str(path.relative_to(ROOT)), *rows(facts))


def deploy():
    parameters, names = parameters_to_set(), template_parameters()
    stack = deployed()
    kept = {each["ParameterKey"]: each["ParameterValue"] for each in stack.get("Parameters", [])} if stack else {}
    if missing := [name for name in names if "Default" not in names[name] and name not in parameters | kept]:
        wanted = " ".join(f"{name}=…" for name in missing)
        raise Failed(f"a new stack also requires {', '.join(missing)}: make deploy PARAMETERS='{wanted}'")
    # `sam deploy` keeps the other parameters of the stack, but not this one.
    parameters = {"Architecture": kept.get("Architecture", names["Architecture"]["Default"])} | parameters
    _, digest = archive(parameters["Architecture"])
    with step(f"sam deploy, of the stack {STACK}"):
        sam(
            *("deploy", "--stack-name", STACK, "--resolve-s3", "--capabilities", "CAPABILITY_IAM"),
            *("--no-confirm-changeset", "--no-fail-on-empty-changeset"),
            **parameters,
        )
    outputs = stack_outputs()
    runs = client("lambda").get_function_configuration(FunctionName=outputs["FunctionName"])["CodeSha256"]
    if runs != base64.b64encode(digest.digest()).decode():
        raise Failed(f"the deployed function has CodeSha256 {runs}, which is not that of this build")
    show("Deployed", *rows(outputs | {"CodeSha256": runs}))


def logs():
    since, follow = os.environ.get("SINCE") or "1h", os.environ.get("FOLLOW")
    if not re.fullmatch(r"[0-9]+[mhd]", since):
        raise Failed(f"SINCE is `{since}`, expected minutes, hours or days, such as 30m, 1h or 2d")
    if follow not in (None, "", "yes"):
        raise Failed(f"FOLLOW is `{follow}`, expected `yes`, or nothing to stop at the end of the log")
    unit = {"m": "minutes", "h": "hours", "d": "days"}[since[-1]]
    newest = datetime.now(UTC) - timedelta(**{unit: int(since[:-1])})
    newest, seen = int(newest.timestamp() * 1000), set()
    pages, group = client("logs").get_paginator("filter_log_events"), stack_outputs()["LogGroupName"]
    while True:
        for event in pages.paginate(logGroupName=group, startTime=newest).search("events[]"):
            line = event["logStreamName"], event["timestamp"], event["message"]
            if line not in seen:
                seen.add(line)
                for text in readable(event["message"]):
                    print(printable(text, "\t"), flush=True)
        if not follow:
            break
        # Lines of other instances of the function arrive up to a minute late.
        newest = max(newest, int((time.time() - 60) * 1000))
        time.sleep(2)
    if not seen:
        print(f"the function logged nothing in the last {since}: look further back with SINCE=…")


def readable(message):
    """Returns a line of the function's log as rows. Omits lines of the runtime that report no problem."""
    try:
        line = json.loads(message)
    except ValueError:
        framing = message.startswith(("INIT_START", "START", "END", "REPORT")) and "Status:" not in message
        return [] if framing or not message.strip() else [message.rstrip()]
    if not isinstance(line, dict):
        return [message.rstrip()]
    if line.get("type", "").startswith("platform."):
        wrong = line.get("record", {}).get("status", "success") != "success"
        return [f"{line['type']}  {json.dumps(line['record'])}"] if wrong else []
    return log_line(line)


def redrive(outputs, patience=PATIENCE):
    """Has the function process the failure queue, until it is empty or nothing has changed for `patience` seconds."""
    mapping = outputs["RedriveMapping"]
    try:
        set_enabled(mapping, True)
        left, since = None, time.monotonic()
        while (now := failures(outputs)) and time.monotonic() - since < patience:
            if now != left:
                left, since = now, time.monotonic()
            time.sleep(0.5)
    finally:
        with signals_ignored():
            try:
                set_enabled(mapping, False)
            except Exception:
                command = f"aws lambda update-event-source-mapping --uuid {mapping} --no-enabled"
                print(f"✗ the function still processes the failure queue; to stop it: {command}", file=sys.stderr)
                raise
    if left := failures(outputs):
        raise Failed(f"events still in the failure queue after {patience} s without a change: {left}")


def set_enabled(mapping, is_enabled):
    """Enables or disables the event source mapping, once its previous update is complete."""
    functions, deadline = client("lambda"), time.monotonic() + 180
    while True:
        try:
            return functions.update_event_source_mapping(UUID=mapping, Enabled=is_enabled)
        except functions.exceptions.ResourceInUseException:
            if time.monotonic() > deadline:
                raise
            time.sleep(2)


@contextmanager
def signals_ignored():
    """Ignores Ctrl-C and other signals during the body of the `with`."""
    handlers = {sign: signal.signal(sign, signal.SIG_IGN) for sign in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    try:
        yield
    finally:
        for sign, handler in handlers.items():
            signal.signal(sign, handler)


def redrive_all():
    patience = os.environ.get("PATIENCE") or str(PATIENCE)
    if not patience.isdecimal():
        raise Failed(f"PATIENCE is `{patience}`, expected seconds")
    outputs = stack_outputs()
    before = failures(outputs)
    if not before:
        print("✓ the failure queue is empty")
        return
    print(f"events in the failure queue: {before}")
    with step("redrive them"):
        redrive(outputs, int(patience))
    print("✓ the failure queue is empty; make logs shows the outcomes")


def destroy():
    empty, outputs = os.environ.get("EMPTY"), stack_outputs()
    if empty not in (None, "", "yes"):
        raise Failed(f"EMPTY is `{empty}`, expected `yes`, or nothing to keep the bucket")
    bucket = outputs["BucketName"]
    resources = client("cloudformation").get_paginator("list_stack_resources").paginate(StackName=STACK)
    if empty and "Bucket" not in resources.search("StackResourceSummaries[].LogicalResourceId"):
        raise Failed(f"EMPTY=yes cannot be used: the stack did not create the bucket {bucket}")
    if jobs := list(unfinished_jobs(bucket)):
        raise Failed(
            f"{len(jobs)} jobs of this stack have not ended: devices fetch their images with the stack's role. Wait, or"
            f" cancel each job (aws iot cancel-job --job-id …): {', '.join(jobs)}"
        )
    if left := failures(outputs):
        raise Failed(f"events in the failure queue of the stack: {left}. Run make redrive, or purge the queue")
    if empty:
        number = sum(1 for _ in versions(bucket))
        print(f"This permanently deletes the bucket {bucket} with all {number} versions of its objects.")
        try:
            typed = input("Type the name of the bucket to confirm: ")
        except EOFError:
            typed = ""
        if typed != bucket:
            raise Failed(f"`{typed}` is not the name of the bucket: nothing was deleted")

    formation = client("cloudformation")
    with step(f"delete the stack {STACK}"):
        formation.delete_stack(StackName=STACK)
        formation.get_waiter("stack_delete_complete").wait(
            StackName=STACK, WaiterConfig={"Delay": 2, "MaxAttempts": 600}
        )
    if not empty:
        print(f"  the bucket {bucket} and its content are kept")
        return
    with step(f"empty and delete the bucket {bucket}"):
        delete(bucket)


def unfinished_jobs(bucket):
    """Yields the IDs of jobs whose devices may still fetch images from a bucket."""
    iot = client("iot")
    for status in ("IN_PROGRESS", "SCHEDULED"):
        for job in iot.get_paginator("list_jobs").paginate(status=status).search("jobs[]"):
            if job["jobId"].startswith("AFR_OTA-") and fetches_from(bucket, job["jobId"]):
                yield job["jobId"]


def fetches_from(bucket, job_id):
    """Returns whether devices fetch the files of a job from a bucket. Others may have created the job."""
    iot = client("iot")
    stream, urls = sources(iot.get_job_document(jobId=job_id).get("document", ""))
    if not stream:
        return any(f"/{bucket}/" in url for url in urls)
    try:
        files = iot.describe_stream(streamId=stream)["streamInfo"]["files"]
    except (iot.exceptions.ResourceNotFoundException, iot.exceptions.InvalidRequestException, ParamValidationError):
        return False  # Devices cannot fetch from a stream that does not exist.
    return any(file["s3Location"]["bucket"] == bucket for file in files)


def sources(document):
    """Returns the stream that a job document names, if any, and the URLs of its files."""
    try:
        document = json.loads(document)
    except ValueError:
        return None, []
    ota = members(members(document).get("afr_ota"))
    files = ota.get("files")
    urls = [members(file).get("update_data_url") for file in files] if isinstance(files, list) else []
    stream = ota.get("streamname")
    return stream if isinstance(stream, str) else None, [url for url in urls if isinstance(url, str)]


def members(value):
    return value if isinstance(value, dict) else {}


def versions(bucket):
    """Yields every object version and delete marker in a bucket."""
    pages = client("s3").get_paginator("list_object_versions").paginate(Bucket=bucket)
    for each in pages.search("[Versions, DeleteMarkers][][]"):
        yield {"Key": each["Key"], "VersionId": each["VersionId"]}


def delete(bucket):
    s3 = client("s3")
    while batch := [version for version, _ in zip(versions(bucket), range(1000), strict=False)]:
        answer = s3.delete_objects(Bucket=bucket, Delete={"Objects": batch, "Quiet": True})
        for error in answer.get("Errors", []):
            raise Failed(f"{error['Key']}, version {error['VersionId']}, cannot be deleted: {error['Message']}")
    s3.delete_bucket(Bucket=bucket)


COMMANDS = {"zip": make_zip, "deploy": deploy, "logs": logs, "redrive": redrive_all, "destroy": destroy}


def main():
    logging.getLogger("botocore").setLevel(logging.WARNING)  # SAM sets a lower level
    if region := os.environ.get("AWS_REGION"):  # boto3 does not read AWS_REGION
        os.environ["AWS_DEFAULT_REGION"] = region
    try:
        COMMANDS[sys.argv[1]]()
    except (BotoCoreError, ClientError) as error:
        raise Failed(f"{error}") from error


if __name__ == "__main__":
    if len(sys.argv) != 2 or sys.argv[1] not in COMMANDS:
        sys.exit(f"usage: operate.py {'|'.join(COMMANDS)}")
    run(main)
