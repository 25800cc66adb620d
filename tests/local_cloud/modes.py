"""The three modes of a replay: where its settings come from, and what the function reaches.

Each is a context manager that takes an event and the address of this machine for the function, sets the environment for
AWS clients, and gives the function's settings and the event to replay.
"""

import json
import os
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import unquote_plus

import boto3
from botocore.exceptions import BotoCoreError, ClientError

from alive import step
from cloud import ROOT, SIGNING_PROFILE, Cloud, Failed, isolate

DRY_RUN = ROOT / "events/env/dry-run.json"


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
    try:
        stack = os.environ.get("STACK") or "ota-on-upload"
        (about,) = boto3.client("cloudformation").describe_stacks(StackName=stack)["Stacks"]
        outputs = {output["OutputKey"]: output["OutputValue"] for output in about.get("Outputs", [])}
        if "FunctionName" not in outputs:
            raise Failed(f"the stack {stack} has no output FunctionName: is it a stack of this template?")
        function = boto3.client("lambda").get_function_configuration(FunctionName=outputs["FunctionName"])
        session = boto3.Session()
        credentials = session.get_credentials().get_frozen_credentials()
    except (BotoCoreError, ClientError) as error:
        raise Failed(f"the settings of the deployed stack cannot be read: {error}") from error
    # The function takes credentials in this form alone: neither a profile nor a sign-on.
    os.environ |= {
        "AWS_REGION": session.region_name,
        "AWS_ACCESS_KEY_ID": credentials.access_key,
        "AWS_SECRET_ACCESS_KEY": credentials.secret_key,
    }
    os.environ.pop("AWS_PROFILE", None)
    os.environ.pop("AWS_SESSION_TOKEN", None)
    if credentials.token:
        os.environ["AWS_SESSION_TOKEN"] = credentials.token
    over = {"DRY_RUN": "false" if os.environ.get("RELEASE") else "true", "DRY_RUN_TAGS": ""}
    yield function["Environment"]["Variables"] | over, event


# Each with what it takes from the environment.
MODES = {
    "dry-run": (dry_run, {"TAGS", "ENV_VARS"}),
    "local-cloud": (local_cloud, {"TAGS", "FIRMWARE"}),
    "account": (account, {"STACK", "RELEASE"}),
}


def mode():
    """The mode that the environment names, which has a use for all that is given."""
    name = os.environ.get("MODE") or "dry-run"
    if name not in MODES:
        raise Failed(f"MODE is `{name}`, expected one of {', '.join(MODES)}")
    place, takes = MODES[name]
    for given in sorted({"TAGS", "ENV_VARS", "FIRMWARE", "STACK", "RELEASE"} - takes):
        if os.environ.get(given):
            raise Failed(f"{given} has no use with MODE={name}, which takes {' and '.join(sorted(takes))}")
    if (release := os.environ.get("RELEASE")) and release != "yes":
        raise Failed(f"RELEASE is `{release}`, expected `yes`, or nothing to have the release only checked")
    return place


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
