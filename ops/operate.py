"""What operators do with a stack, in an account or on a local cloud.

    operate.py zip        builds the function, and tells the SHA-256 of what is deployed
    operate.py deploy     deploys it, or upgrades what is deployed
    operate.py logs       shows what uploads came to
    operate.py redrive    has the function work on the failure queue, until it is empty or nothing more succeeds
    operate.py destroy    deletes the stack

The Makefile says what each reads from the environment.
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
# A run of the function takes two minutes at most.
PATIENCE = 180


def declared():
    """The parameters of the template."""
    return yaml_parse((ROOT / "template.yaml").read_text())["Parameters"]


def given():
    """The parameters in PARAMETERS: `Name=value …`, or the path of a file with one on each line."""
    text = os.environ.get("PARAMETERS") or ""
    if "=" in text or not text:
        words = shlex.split(text)
    else:
        try:
            lines = map(str.strip, Path(text).read_text().splitlines())
        except OSError as error:
            raise Failed(f"the file in PARAMETERS cannot be read: {error}") from error
        words = [line for line in lines if line and not line.startswith("#")]
    names, parameters = declared(), {}
    for word in words:
        name, equals, value = word.partition("=")
        if not equals:
            raise Failed(f"PARAMETERS has `{word}`, expected Name=value")
        if name not in names:
            (near, *_) = difflib.get_close_matches(name, names, 1, 0) or [""]
            raise Failed(f"PARAMETERS has `{name}`, which the template has not: is `{near}` meant?")
        if name in parameters:
            raise Failed(f"PARAMETERS has `{name}` twice")
        parameters[name] = value
    return parameters


def deployed():
    """The stack as CloudFormation describes it, or nothing where there is none."""
    try:
        (stack,) = client("cloudformation").describe_stacks(StackName=STACK)["Stacks"]
    except ClientError as error:
        if "does not exist" in str(error):
            return None
        raise
    return stack


def outputs():
    stack = deployed()
    if not stack:
        raise Failed(f"there is no stack {STACK} in {client('cloudformation').meta.region_name}: STACK=… names another")
    told = {output["OutputKey"]: output["OutputValue"] for output in stack.get("Outputs", [])}
    if "RedriveMapping" not in told:
        raise Failed(f"the stack {STACK} has no output RedriveMapping: is it a stack of this template?")
    return told


def archive(architecture):
    """Builds the function; returns its zip, as `sam deploy` uploads it, and the SHA-256 of that."""
    with step(f"sam build, for {architecture}"):
        build(Architecture=architecture)
    path = Path(
        make_zip_with_lambda_permissions(str(BUILT / f"function-{architecture}"), str(BUILT / "build/Function"))
    )
    return path, hashlib.sha256(path.read_bytes())


def make_zip():
    architecture = given().get("Architecture", declared()["Architecture"]["Default"])
    path, digest = archive(architecture)
    facts = {
        "bytes": f"{path.stat().st_size:,}",
        "SHA-256": digest.hexdigest(),
        "CodeSha256": f"{base64.b64encode(digest.digest()).decode()} (the same, as Lambda tells it)",
    }
    show(str(path.relative_to(ROOT)), *rows(facts))


def deploy():
    parameters, names = given(), declared()
    stack = deployed()
    kept = {each["ParameterKey"]: each["ParameterValue"] for each in stack.get("Parameters", [])} if stack else {}
    if missing := [name for name in names if "Default" not in names[name] and name not in parameters | kept]:
        wanted = " ".join(f"{name}=…" for name in missing)
        raise Failed(f"a new stack takes {', '.join(missing)}, too: make deploy PARAMETERS='{wanted}'")
    # Also to `sam deploy`, which keeps all else as it is in the stack.
    parameters = {"Architecture": kept.get("Architecture", names["Architecture"]["Default"])} | parameters
    _, digest = archive(parameters["Architecture"])
    with step(f"sam deploy, of the stack {STACK}"):
        sam(
            *("deploy", "--stack-name", STACK, "--resolve-s3", "--capabilities", "CAPABILITY_IAM"),
            *("--no-confirm-changeset", "--no-fail-on-empty-changeset"),
            **parameters,
        )
    told = outputs()
    runs = client("lambda").get_function_configuration(FunctionName=told["FunctionName"])["CodeSha256"]
    if runs != base64.b64encode(digest.digest()).decode():
        raise Failed(f"the function that runs has CodeSha256 {runs}, and is not the one that was built here")
    show("Deployed", *rows(told | {"CodeSha256": runs}))


def logs():
    since, follow = os.environ.get("SINCE") or "1h", os.environ.get("FOLLOW")
    if not re.fullmatch(r"[0-9]+[mhd]", since):
        raise Failed(f"SINCE is `{since}`, expected minutes, hours or days, such as 30m, 1h or 2d")
    if follow not in (None, "", "yes"):
        raise Failed(f"FOLLOW is `{follow}`, expected `yes`, or nothing to end with what is there")
    unit = {"m": "minutes", "h": "hours", "d": "days"}[since[-1]]
    newest = datetime.now(UTC) - timedelta(**{unit: int(since[:-1])})
    newest, seen = int(newest.timestamp() * 1000), set()
    pages, group = client("logs").get_paginator("filter_log_events"), outputs()["LogGroupName"]
    while True:
        for event in pages.paginate(logGroupName=group, startTime=newest).search("events[]"):
            line = event["logStreamName"], event["timestamp"], event["message"]
            if line not in seen:
                seen.add(line)
                for text in readable(event["message"]):
                    print(printable(text, "\t"), flush=True)
        if not follow:
            break
        # What other instances of the function log arrives up to a minute late.
        newest = max(newest, int((time.time() - 60) * 1000))
        time.sleep(2)
    if not seen:
        print(f"the function logged nothing in the last {since}: SINCE=… looks further back")


def readable(message):
    """A line of the log: one of the function's own as rows, and of the runtime's those that tell of something wrong."""
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


def redrive(told, patience=PATIENCE):
    """Has the function work on the failure queue, until it is empty or nothing has changed for `patience` seconds."""
    mapping = told["RedriveMapping"]
    try:
        switch(mapping, True)
        left, since = None, time.monotonic()
        while (now := failures(told)) and time.monotonic() - since < patience:
            if now != left:
                left, since = now, time.monotonic()
            time.sleep(0.5)
    finally:
        with undisturbed():
            try:
                switch(mapping, False)
            except Exception:
                command = f"aws lambda update-event-source-mapping --uuid {mapping} --no-enabled"
                print(f"✗ the function still works on the failure queue; to end that: {command}", file=sys.stderr)
                raise
    if left := failures(told):
        raise Failed(f"events still in the failure queue, after {patience} s in which nothing changed: {left}")


def switch(mapping, on):
    """Enables or disables the event source mapping, as soon as it is done with what it was told before."""
    functions, deadline = client("lambda"), time.monotonic() + 180
    while True:
        try:
            return functions.update_event_source_mapping(UUID=mapping, Enabled=on)
        except functions.exceptions.ResourceInUseException:
            if time.monotonic() > deadline:
                raise
            time.sleep(2)


@contextmanager
def undisturbed():
    """Impatience does not cut the body of the `with` short."""
    handlers = {sign: signal.signal(sign, signal.SIG_IGN) for sign in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    try:
        yield
    finally:
        for sign, handler in handlers.items():
            signal.signal(sign, handler)


def redrive_all():
    given = os.environ.get("PATIENCE") or str(PATIENCE)
    if not given.isdecimal():
        raise Failed(f"PATIENCE is `{given}`, expected seconds")
    told = outputs()
    before = failures(told)
    if not before:
        print("✓ the failure queue is empty")
        return
    print(f"events in the failure queue: {before}")
    with step("redrive them"):
        redrive(told, int(given))
    print("✓ the failure queue is empty; make logs shows what they came to")


def destroy():
    empty, told = os.environ.get("EMPTY"), outputs()
    if empty not in (None, "", "yes"):
        raise Failed(f"EMPTY is `{empty}`, expected `yes`, or nothing to keep the bucket")
    bucket = told["BucketName"]
    resources = client("cloudformation").get_paginator("list_stack_resources").paginate(StackName=STACK)
    if empty and "Bucket" not in resources.search("StackResourceSummaries[].LogicalResourceId"):
        raise Failed(f"EMPTY=yes is for a bucket that the stack has made; {bucket} was there before it")
    if jobs := list(unfinished(bucket)):
        raise Failed(
            f"{len(jobs)} jobs of this stack have not ended, and by its role their devices fetch the image. Wait, or"
            f" cancel each (aws iot cancel-job --job-id …): {', '.join(jobs)}"
        )
    if left := failures(told):
        raise Failed(f"events in the failure queue, which goes with the stack: {left}. make redrive, or purge it")
    if empty:
        number = sum(1 for _ in versions(bucket))
        print(f"The bucket {bucket} is to be deleted with all {number} versions of what is in it, for good.")
        try:
            typed = input("Its name, to confirm: ")
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
        print(f"  the bucket {bucket} is still there, with all that is in it")
        return
    with step(f"empty and delete the bucket {bucket}"):
        delete(bucket)


def unfinished(bucket):
    """The IDs of the jobs of releases from a bucket that devices may still get, or work on."""
    iot = client("iot")
    for status in ("IN_PROGRESS", "SCHEDULED"):
        for job in iot.get_paginator("list_jobs").paginate(status=status).search("jobs[]"):
            if job["jobId"].startswith("AFR_OTA-") and is_of(bucket, job["jobId"]):
                yield job["jobId"]


def is_of(bucket, job_id):
    """Whether devices fetch the files of a job from a bucket. The job, and its document, may be another's."""
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
    """The stream that a job document names, if any, and the URLs of its files."""
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
    """Every object version and delete marker in a bucket."""
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
    logging.getLogger("botocore").setLevel(logging.WARNING)  # which SAM has it below
    if region := os.environ.get("AWS_REGION"):  # which boto3 does not know
        os.environ["AWS_DEFAULT_REGION"] = region
    try:
        COMMANDS[sys.argv[1]]()
    except (BotoCoreError, ClientError) as error:
        raise Failed(f"{error}") from error


if __name__ == "__main__":
    if len(sys.argv) != 2 or sys.argv[1] not in COMMANDS:
        sys.exit(f"usage: operate.py {'|'.join(COMMANDS)}")
    run(main)
