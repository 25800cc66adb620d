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

from alive import is_redundant, log_line, printable, rows, show, step
from program import ROOT, Failed, is_yes, run, typed
from stack import STACK as DEFAULT_STACK
from stack import built, client, described, failures, failures_by_state, find_stack, reason, sam

STACK = os.environ.get("STACK") or DEFAULT_STACK
BUILT = ROOT / ".aws-sam"
# In seconds. An invocation lasts two minutes at most.
PATIENCE = 180
PROFILE_STEP = "docs/operator/deploy.md#2-create-a-signing-profile"


def template_parameters():
    """Returns the parameters of the template."""
    return yaml_parse((ROOT / "template.yaml").read_text())["Parameters"]


def parameters_to_set():
    """Returns the parameters in PARAMETERS: `Name=value …`, or the path of a file with one on each line."""
    text = os.environ.get("PARAMETERS") or ""
    if "=" in text or not text:
        try:
            words = shlex.split(text)
        except ValueError as error:
            raise Failed(f"PARAMETERS has an open quote or a backslash at its end: {error}") from error
    else:
        try:
            lines = map(str.strip, Path(text).read_text().splitlines())
        except (OSError, ValueError) as error:
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


def stack_outputs():
    about = described(client("cloudformation"), STACK)
    if (status := about["StackStatus"]) in ("ROLLBACK_COMPLETE", "ROLLBACK_FAILED"):
        raise Failed(
            f"the stack {STACK} was never deployed: it is in {status}. Delete what is left of it:"
            f" aws cloudformation delete-stack --stack-name {STACK}"
        )
    outputs = {output["OutputKey"]: output["OutputValue"] for output in about.get("Outputs", [])}
    if "RedriveMapping" not in outputs:
        raise Failed(f"the stack {STACK} has no output RedriveMapping: is it a stack of this template?")
    return outputs


@contextmanager
def archived(architecture):
    """Builds the function; yields the path and the SHA-256 of the zip that `sam deploy` uploads in the body."""
    with built(f"sam build, for {architecture}", architecture):
        path = Path(
            make_zip_with_lambda_permissions(str(BUILT / f"function-{architecture}"), str(BUILT / "build/Function"))
        )
        yield path, hashlib.sha256(path.read_bytes())


def make_zip():
    architecture = parameters_to_set().get("Architecture", template_parameters()["Architecture"]["Default"])
    with archived(architecture) as (path, digest):
        facts = {
            "bytes": f"{path.stat().st_size:,}",
            "SHA-256": digest.hexdigest(),
            "CodeSha256": f"{base64.b64encode(digest.digest()).decode()} (the same, as Lambda shows it)",
        }
    show(str(path.relative_to(ROOT)), *rows(facts))


def deploy():
    parameters, names = parameters_to_set(), template_parameters()
    about = find_stack(client("cloudformation"), STACK)
    kept = {each["ParameterKey"]: each["ParameterValue"] for each in about.get("Parameters", [])} if about else {}
    if missing := [name for name in names if "Default" not in names[name] and name not in parameters | kept]:
        wanted = " ".join(f"{name}=…" for name in missing)
        raise Failed(f"a new stack also requires {', '.join(missing)}: make deploy PARAMETERS='{wanted}'")
    # `sam deploy` keeps the other parameters of the stack, but not this one.
    parameters = {"Architecture": kept.get("Architecture", names["Architecture"]["Default"])} | parameters
    account = client("sts").get_caller_identity()["Account"]
    if wrong := list(problems(kept, parameters, account)):
        raise Failed("\n✗ ".join(wrong))
    changes = {
        name: f"{kept.get(name, 'its default')} → {value}" if kept else value
        for name, value in parameters.items()
        if value != kept.get(name)
    }
    show(f"Stack {STACK}, in the account {account} and the Region {client('sts').meta.region_name}")
    show("Changed parameters" if kept else "Parameters", *(rows(changes) or ["none: only code and template"]))
    print()
    with archived(parameters["Architecture"]) as (_, digest), step(f"sam deploy, of the stack {STACK}"):
        options = ("--stack-name", STACK, "--no-confirm-changeset", "--no-fail-on-empty-changeset")
        sam("deploy", *options, **parameters)
    outputs = stack_outputs()
    runs = client("lambda").get_function_configuration(FunctionName=outputs["FunctionName"])["CodeSha256"]
    if runs != base64.b64encode(digest.digest()).decode():
        raise Failed(f"the deployed function has CodeSha256 {runs}, which is not that of this build")
    show("Deployed", *rows(outputs | {"CodeSha256": runs}))
    if (kept | parameters).get("ExistingBucket") == "true":
        print(
            f"\nNow run make attach STACK={STACK}: until then, the bucket policy lacks the stack's current statements."
        )


def problems(kept, parameters, account):
    """Yields each reason why a deployment would fail, or would accept no uploads."""
    values, region = kept | parameters, client("signer").meta.region_name
    profile, bucket, is_existing = (
        values["SigningProfile"],
        values["BucketName"],
        values.get("ExistingBucket") == "true",
    )
    try:
        if (status := client("signer").get_signing_profile(profileName=profile).get("status", "Active")) != "Active":
            yield f"the signing profile `{profile}` is {status}; expected an active one"
    except ClientError as error:
        if error.response["Error"]["Code"] != "ResourceNotFoundException":
            print(f"! the signing profile was not checked: {reason(error)}")
        else:
            yield f"the signing profile `{profile}` does not exist in {region}: create it ({PROFILE_STEP})"
    except ParamValidationError:
        yield f"the signing profile `{profile}` is no name: expected 2 to 64 letters, digits and `_`"
    for principal in values["DeployerPrincipals"].split(","):
        owner = [*principal.split(":"), "", "", "", "", ""][4]
        # The policy of the stack's own bucket allows nothing to other accounts.
        if owner.isdecimal() and owner != account and not is_existing:
            yield (
                f"the deployer `{principal}` is in another account than the stack ({account}): name a role of this"
                " account in DeployerPrincipals"
            )
    if bucket != kept.get("BucketName") and not is_existing and bucket_exists(bucket):
        yield (
            f"the bucket `{bucket}` exists already: name another in BucketName, or, if it is yours, add"
            " ExistingBucket=true"
        )


def bucket_exists(bucket):
    try:
        client("s3").head_bucket(Bucket=bucket)
    except ClientError as error:
        return error.response["Error"]["Code"] not in ("404", "NoSuchBucket", "400")
    except ParamValidationError:  # CloudFormation reports an invalid name
        return False
    return True


def logs():
    since, follow, key = (
        os.environ.get("SINCE") or "1h",
        is_yes("FOLLOW", "stop at the end of the log"),
        os.environ.get("KEY"),
    )
    if not re.fullmatch(r"[0-9]{1,5}[mhd]", since, re.ASCII):
        raise Failed(f"SINCE is `{since}`, expected minutes, hours or days, such as 30m, 1h or 2d")
    unit = {"m": "minutes", "h": "hours", "d": "days"}[since[-1]]
    newest = datetime.now(UTC) - timedelta(**{unit: int(since[:-1])})
    newest, seen, shown = max(0, int(newest.timestamp() * 1000)), set(), 0
    pages, group = client("logs").get_paginator("filter_log_events"), stack_outputs()["LogGroupName"]
    while True:
        for event in pages.paginate(logGroupName=group, startTime=newest).search("events[]"):
            line = event["logStreamName"], event["timestamp"], event["message"]
            if line not in seen:
                seen.add(line)
                for text in readable(event["message"], key):
                    shown += 1
                    print(printable(text, "\t"), flush=True)
        if not follow:
            break
        # Lines of other instances of the function arrive up to a minute late.
        newest = max(newest, int((time.time() - 60) * 1000))
        time.sleep(2)
    if not shown:
        about = f" about keys that contain `{key}`" if key else ""
        print(printable(f"the function logged nothing{about} in the last {since}: look further back with SINCE=…"))


def readable(message, key=None):
    """Returns the lines to print for a line of the function's log: one for the outcome of an upload.

    Omits metrics, and lines of the runtime that report no problem. With a key, omits lines that do not name it.
    """
    try:
        line = json.loads(message)
    except ValueError:
        framing = message.startswith(("INIT_START", "START", "END", "REPORT")) and "Status:" not in message
        return [] if framing or key or not message.strip() else [message.rstrip()]
    if not isinstance(line, dict):
        return [] if key else [message.rstrip()]
    if is_redundant(line) or (key and key not in str(line.get("key", ""))):
        return []
    if "outcome" in line:
        return [outcome_line(line)]
    if str(line.get("type", "")).startswith("platform."):
        wrong = line.get("record", {}).get("status", "success") != "success"
        return [f"{line['type']}  {json.dumps(line['record'])}"] if wrong else []
    return log_line(line)


def outcome_line(line):
    """Returns the final log line of an upload in one line of text."""
    facts = [line.get("jobId"), line.get("reason"), line.get("reasons")]
    time_of_line = re.sub(r"\.\d+Z$", "Z", str(line.get("timestamp", "")))
    facts = [time_of_line, f"{line['outcome']:<8}", line.get("key"), *facts]
    return "  ".join(str(fact) for fact in facts if fact)


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
        hint = "".join(f"\n  {line}" for line in about_hidden(outputs))
        raise Failed(f"events still in the failure queue after {patience} s without a change: {left}{hint}")


def about_hidden(outputs):
    """Yields when the events come back that a failed attempt has hidden in the queue, and why the last one failed."""
    _, hidden = failures_by_state(outputs)
    if not hidden:
        return
    queue, names = outputs["FailureQueueUrl"], ["VisibilityTimeout"]
    delay = int(client("sqs").get_queue_attributes(QueueUrl=queue, AttributeNames=names)["Attributes"][names[0]])
    failed = list(failed_since(outputs["LogGroupName"], time.time() - delay))
    back = datetime.fromtimestamp((failed[-1][0] if failed else time.time()) + delay).astimezone()
    yield (
        f"{hidden} of them cannot be processed now: each returns to the queue {delay // 60} minutes after its last"
        f" attempt, the last one by {back:%H:%M %Z}. Fix the cause, and run make redrive then"
    )
    if failed:
        yield f"the last reason: {failed[-1][1]}"


def failed_since(group, since):
    """Yields time and reason of each failed release in the log, the oldest first."""
    pages = client("logs").get_paginator("filter_log_events")
    for event in pages.paginate(logGroupName=group, startTime=int(since * 1000)).search("events[]"):
        try:
            line = json.loads(event["message"])
        except ValueError:
            continue
        if isinstance(line, dict) and line.get("outcome") == "failed":
            yield event["timestamp"] / 1000, f"{line.get('key')}: {line.get('reasons') or line.get('reason')}"


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
    if not re.fullmatch("[0-9]{1,5}", patience):
        raise Failed(f"PATIENCE is `{patience}`, expected seconds")
    outputs = stack_outputs()
    before = failures(outputs)
    if not before:
        print("✓ the failure queue is empty")
        return
    print(f"events in the failure queue: {before}")
    for line in about_hidden(outputs):
        print(printable(f"! {line}"))
    with step("redrive them"):
        redrive(outputs, int(patience))
    print("✓ the failure queue is empty; make logs shows the outcomes")


def destroy():
    empty, is_agreed, outputs = is_yes("EMPTY", "keep the bucket"), is_yes("YES", "be asked"), stack_outputs()
    bucket = outputs["BucketName"]
    resources = client("cloudformation").get_paginator("list_stack_resources").paginate(StackName=STACK)
    if empty and "Bucket" not in resources.search("StackResourceSummaries[].LogicalResourceId"):
        raise Failed(f"EMPTY=yes cannot be used: the stack did not create the bucket {bucket}")
    if jobs := list(unfinished_jobs(bucket)):
        raise Failed(
            f"unfinished jobs of this stack: {len(jobs)}. Devices fetch their images with the stack's role. Wait, or"
            f" cancel each job (aws iot cancel-job --job-id …): {', '.join(jobs)}"
        )
    if left := failures(outputs):
        raise Failed(f"events in the failure queue of the stack: {left}. Run make redrive, or purge the queue")
    if holders := [*attached_to(outputs.get("UploaderPolicyArn")), *attached_to(outputs.get("OperatorPolicyArn"))]:
        raise Failed(
            f"the policies of the stack are attached to {', '.join(holders)}. CloudFormation cannot delete an attached"
            " policy: detach it"
        )
    if not is_agreed:
        account, region = (client("sts").get_caller_identity()["Account"], client("sts").meta.region_name)
        print(f"This deletes the stack {STACK} in the account {account} and the Region {region}.")
        confirm("stack", STACK)
    if empty:
        number = sum(1 for _ in versions(bucket))
        print(f"This permanently deletes the bucket {bucket} with all {number} versions of its objects.")
        confirm("bucket", bucket)

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


def confirm(kind, name):
    """Fails unless the user types a name."""
    if (answer := typed(f"Type the name of the {kind} to confirm: ")) != name:
        raise Failed(f"`{answer}` is not the name of the {kind}: nothing was deleted")


def attached_to(policy):
    """Yields the users, groups and roles with a policy, which stacks of earlier versions lack."""
    if policy:
        pages = list(client("iam").get_paginator("list_entities_for_policy").paginate(PolicyArn=policy))
        for kind in ("User", "Group", "Role"):
            for page in pages:
                yield from (f"the {kind.lower()} {holder[f'{kind}Name']}" for holder in page[f"Policy{kind}s"])


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
    try:
        COMMANDS[sys.argv[1]]()
    except (BotoCoreError, ClientError) as error:
        raise Failed(reason(error)) from error


if __name__ == "__main__":
    if len(sys.argv) != 2 or sys.argv[1] not in COMMANDS:
        sys.exit(f"usage: operate.py {'|'.join(COMMANDS)}")
    run(main)
