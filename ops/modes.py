"""The three modes of a replay: the source of its settings, and the services that the function reaches.

Each mode is a context manager, called with an event and the address at which the function reaches this machine. It sets
the environment of AWS clients, and yields the function's settings and the event to replay.
"""

import json
import os
from codecs import BOM_UTF16_BE, BOM_UTF16_LE
from contextlib import contextmanager, suppress
from pathlib import Path
from urllib.parse import unquote_plus

import boto3
from botocore.exceptions import BotoCoreError, ClientError, NoCredentialsError
from samcli.yamlhelper import yaml_parse

from cloud import ACCOUNT, SIGNING_PROFILE, Cloud, isolate, tags_of_uploads

from alive import step
from program import ROOT, Failed, is_yes
from stack import STACK, client, described, reason

DRY_RUN = ROOT / "events/env/dry-run.json"
# The account of the sample events.
SAMPLE_ACCOUNT = "111122223333"
MANIFEST = ROOT / "events/manifests/gateway.ota.json"
# In bytes, of the objects that a replay generates.
MAX_SIZE = 64 * 1024 * 1024


@contextmanager
def dry_run(event, _host):
    """Without AWS: sample settings, and tags from the environment."""
    isolate()
    settings = sample_settings()
    if tags := os.environ.get("TAGS"):
        tags.encode()  # fails if it is not UTF-8
        settings["DRY_RUN_TAGS"] = tags
    if os.environ.get("MANIFEST"):
        settings["DRY_RUN_MANIFEST"] = manifest()
    if settings["DRY_RUN"] != "true" or not settings["DRY_RUN_TAGS"]:
        raise Failed("the settings have no DRY_RUN `true` with tags in DRY_RUN_TAGS, which MODE=dry-run requires")
    yield settings, event


@contextmanager
def local_cloud(event, host):
    """A local cloud for this replay only, with the objects that the event names."""
    tags = tags_of_uploads()
    with Cloud(host) as cloud:
        with step("prepare the local cloud"):
            try:
                settings = settings_on(cloud, tags)
                event = put_objects(event, settings["UPLOAD_BUCKET"], tags)
            except (BotoCoreError, ClientError) as error:
                raise Failed(f"the local cloud cannot be prepared: {reason(error)}") from error
        yield settings, event


@contextmanager
def account(event, _host):
    """A real account, with the settings of the deployed function."""
    stack = os.environ.get("STACK") or STACK
    try:
        about = described(client("cloudformation"), stack)
        outputs = {output["OutputKey"]: output["OutputValue"] for output in about.get("Outputs", [])}
        if "FunctionName" not in outputs:
            raise Failed(f"the stack {stack} has no output FunctionName: is it a stack of this template?")
        function = client("lambda").get_function_configuration(FunctionName=outputs["FunctionName"])
        if not (credentials := boto3.Session().get_credentials()):
            raise NoCredentialsError
        credentials = credentials.get_frozen_credentials()
    except (BotoCoreError, ClientError) as error:
        raise Failed(f"the settings of the deployed stack cannot be read: {reason(error)}") from error
    # The function supports credentials only in this form, and not as a profile or a sign-on.
    region = client("lambda").meta.region_name
    os.environ |= {
        "AWS_REGION": region,
        "AWS_DEFAULT_REGION": region,
        "AWS_ACCESS_KEY_ID": credentials.access_key,
        "AWS_SECRET_ACCESS_KEY": credentials.secret_key,
    }
    os.environ.pop("AWS_PROFILE", None)
    os.environ.pop("AWS_SESSION_TOKEN", None)
    if credentials.token:
        os.environ["AWS_SESSION_TOKEN"] = credentials.token
    settings = checked(function["Environment"]["Variables"], f"the stack {stack}")
    yield (
        settings
        if os.environ.get("RELEASE")
        else settings | {"DRY_RUN": "true", "DRY_RUN_TAGS": "", "DRY_RUN_MANIFEST": ""},
        event,
    )


# Each mode with the variables that it supports.
MODES = {
    "dry-run": (dry_run, {"TAGS", "ENV_VARS", "MANIFEST"}),
    "local-cloud": (local_cloud, {"TAGS", "ENV_VARS", "FIRMWARE", "MANIFEST"}),
    "account": (account, {"STACK", "RELEASE"}),
}


def mode():
    """Returns the mode that MODE names. Fails if the mode does not support a variable that is set."""
    name = os.environ.get("MODE") or "dry-run"
    if name not in MODES:
        raise Failed(f"MODE is `{name}`, expected one of {', '.join(MODES)}")
    place, supported = MODES[name]
    for variable in sorted({"TAGS", "ENV_VARS", "FIRMWARE", "MANIFEST", "STACK", "RELEASE"} - supported):
        if os.environ.get(variable):
            raise Failed(
                f"{variable} cannot be used with MODE={name}, which supports {' and '.join(sorted(supported))}"
            )
    is_yes("RELEASE", "only check the release")
    return place


def manifest():
    """Returns the text of the manifest to replay."""
    path = Path(os.environ.get("MANIFEST") or MANIFEST)
    try:
        data = path.read_bytes()
        return data.decode("utf-16" if data.startswith((BOM_UTF16_BE, BOM_UTF16_LE)) else "utf-8-sig")
    except (OSError, ValueError) as error:
        raise Failed(f"the manifest {path} cannot be read: {error}") from error


def sample_settings():
    path = Path(os.environ.get("ENV_VARS") or DRY_RUN)
    try:
        return checked(dict(json.loads(path.read_text())["Function"]), path)
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise Failed(f"{path} is not an environment file like {DRY_RUN.relative_to(ROOT)}: {error!r}") from error


def checked(settings, where):
    """Returns the settings. Fails if they are not exactly those of the template."""
    template = yaml_parse((ROOT / "template.yaml").read_text())
    declared = template["Resources"]["Function"]["Properties"]["Environment"]["Variables"]
    for name in sorted(set(declared) ^ set(settings)):
        has = "lacks the setting" if name in declared else "has the unknown setting"
        raise Failed(f"{where} {has} {name}: is it of another version of this template?")
    for name, value in settings.items():
        if not isinstance(value, str) or "\0" in value:
            raise Failed(f"{where} has {value!r} for {name}, expected text in quotes, without NUL")
    return settings


def settings_on(cloud, tags=""):
    """Creates the resources of a stack on a local cloud without a deployment, and returns the settings for them."""
    cloud.provision(tags)
    settings = sample_settings()
    role = cloud.without_stack(settings["UPLOAD_BUCKET"])
    return settings | {
        "OTA_ROLE_ARN": role,
        "SIGNING_PROFILE": SIGNING_PROFILE,
        "DRY_RUN": "false",
        "DRY_RUN_TAGS": "",
        "DRY_RUN_MANIFEST": "",
    }


def put_objects(event, bucket, tags):
    """Puts the objects that an event names; returns the event with their new versions."""
    s3, versions = client("s3"), {}

    def image(size=1024):
        return Path(os.environ["FIRMWARE"]).read_bytes() if os.environ.get("FIRMWARE") else os.urandom(size)

    def manifest_with_files():
        """Puts the files of the manifest; returns the manifest with their new versions, for the local account."""
        text = manifest()
        with suppress(ValueError, TypeError, KeyError, RecursionError):  # the function reports an invalid manifest
            members = json.loads(text.replace(f":{SAMPLE_ACCOUNT}:", f":{ACCOUNT}:"))
            for file in members["files"]:
                file["versionId"] = s3.put_object(Bucket=bucket, Key=file["key"], Body=image())["VersionId"]
            text = json.dumps(members)
        return text.encode()

    def put(record, key, version):
        """Puts an object once; returns its part of the event, with version and size if the event has them."""
        size = record.get("size", 1024)
        if not isinstance(size, int) or not 0 <= size <= MAX_SIZE:
            raise Failed(f"the event has the size {size!r} for {key}, expected 0 to {MAX_SIZE:,} bytes")
        if not isinstance(version, str | None):
            raise Failed(f"the event has the version {version!r} for {key}, expected text")
        if (key, version) not in versions:
            body = manifest_with_files() if key.lower().endswith(".ota.json") else image(size)
            answer = s3.put_object(Bucket=bucket, Key=key, Body=body, Tagging=tags)
            versions[key, version] = answer["VersionId"], len(body)
        version, size = versions[key, version]
        new = {"versionId": version, "version-id": version, "size": size}
        return record | {name: value for name, value in new.items() if name in record}

    def walk(value):
        """Replaces the objects of S3 notifications and EventBridge events, in any envelopes."""
        if isinstance(value, str) and value.startswith(("{", '"')):
            try:
                return json.dumps(walk(json.loads(value)))
            except ValueError:
                return value
        if isinstance(value, list):
            return [walk(each) for each in value]
        if not isinstance(value, dict):
            return value
        match value:
            case {"bucket": {"name": str(name)}, "object": {"key": str(key)} as record} if name == bucket:
                version = record.get("version-id", record.get("versionId"))
                is_encoded = "s3SchemaVersion" in value  # in notifications, but not in events of EventBridge
                return value | {"object": put(record, unquote_plus(key) if is_encoded else key, version)}
        return {name: walk(each) for name, each in value.items()}

    return walk(event)
