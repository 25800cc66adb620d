"""`make demo`: from a firmware image and its tags to an AWS IoT job, by the unmodified stack on the local cloud.

Devices with the agent rustot then install the update. The environment variables:

- FIRMWARE is the path of an image, and TAGS are in the form of the x-amz-tagging header.
- KEY is the key of the object, with or without the upload prefix.
- DEVICES is the number of devices in the thing group. FAULT=flip changes a bit on the way to them.
- KEEP=yes keeps the local cloud until Ctrl-C.
"""

import hashlib
import json
import os
import shlex
import sys
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path

import boto3
from botocore.exceptions import ClientError

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests/local_cloud"))

from devices import fault, install, number_of_devices, show_download

import cloud as local
from cloud import Cloud, device, presigned, tags_of_uploads

from alive import rows, show, step
from practise import everything_built, kept
from program import Failed, Rejected, is_yes, run
from stack import reason

UPLOAD_PREFIX = "firmware/"
MAX_KEY_BYTES = 1024


def main():
    name, image, origin = firmware()
    is_kept = is_yes("KEEP", "delete the local cloud at the end")
    tags = tags_of_uploads()
    things = [f"lab-device-{number}" for number in range(1, number_of_devices(len(local.THINGS)) + 1)]
    fault()
    key = key_of_upload(name)

    print(
        "A firmware upload becomes an AWS IoT job, on a local cloud, with the same stack that is deployed to AWS.\n"
        "Devices then install the update.\n"
    )
    with ExitStack() as stack:
        keep = stack.enter_context(kept()) if is_kept else None
        with everything_built():
            with step("start the local cloud"):
                cloud = stack.enter_context(Cloud())
            with step("create certificate, signing profile, thing groups and things"):
                cloud.provision(tags, things)
            with step("sam deploy"):
                cloud.deploy()
        bucket = cloud.outputs["BucketName"]
        command = ["aws", "s3api", "put-object", "--bucket", bucket, "--key", key, "--body", name, "--tagging", tags]
        show("Upload", f"{name}, {len(image):,} bytes, {origin}", shlex.join(command))
        with step("upload, and wait for the outcome"):
            try:
                version = cloud.upload(key, image, tags)
            except ClientError as error:
                raise Failed(f"the upload failed: {reason(error)}") from error
            outcome = cloud.outcome(key, version)
        problem = report(cloud, outcome, image)
        if keep and not problem:
            keep(cloud)
    if problem:
        raise problem


def key_of_upload(name):
    """Returns the key in KEY, or of the image's name, below the upload prefix."""
    key = UPLOAD_PREFIX + (os.environ.get("KEY") or name).removeprefix(UPLOAD_PREFIX)
    if key == UPLOAD_PREFIX or (size := len(key.encode())) > MAX_KEY_BYTES:
        problem = "is empty" if key == UPLOAD_PREFIX else f"has {size} bytes"
        raise Failed(f"the key of the upload {problem}, expected 1 to {MAX_KEY_BYTES} bytes: set KEY=…")
    return key


def firmware():
    """Returns name, bytes and origin of the image to release."""
    if path := os.environ.get("FIRMWARE"):
        try:
            return Path(path).name, Path(path).read_bytes(), f"from {path}"
        except OSError as error:
            raise Failed(f"cannot read FIRMWARE: {error}") from error
    image = hashlib.shake_256(b"ota-on-upload").digest(256 * 1024)
    return "demo-firmware.bin", image, "generated for the demo: no device can run it"


def allowed_targets():
    return f"thing groups {local.ALLOWED_THING_GROUPS}; things {local.ALLOWED_THINGS}"


def report(cloud, outcome, uploaded):
    """Shows the release. Returns the problem if it has no job."""
    if outcome["outcome"] not in ("created", "adopted"):
        reasons = outcome.get("reasons") or outcome.get("reason") or json.dumps(outcome)
        show(f"Outcome: {outcome['outcome']}", *reasons.split("; "))
        show("This stack releases", *rows({"uploads": "with tags that begin with ota:", "to": allowed_targets()}))
        print()
        if outcome["outcome"] == "failed":
            return Failed("the release failed")
        return Rejected(f"the upload was {outcome['outcome']}: it has no job")

    iot = boto3.client("iot")
    job_id = outcome["jobId"]
    job = iot.describe_job(jobId=job_id)["job"]
    document = iot.get_job_document(jobId=job_id)["document"]
    (file,) = json.loads(document)["afr_ota"]["files"]
    file_path = file["filepath"]
    at, image = cloud.streamed(outcome["streamId"]) if "streamId" in outcome else presigned(file["update_data_url"])
    cloud.verify(file["sig-sha256-ecdsa"], image)

    show(f"Outcome: {outcome['outcome']}", *rows(log_line(outcome)))
    if warnings := cloud.warnings(outcome["key"]):
        show("Warnings", *warnings)
    show("Job", *rows(job_facts(job)))
    show("Job document", *json.dumps(json.loads(document), indent=2).splitlines())
    show("Objects in the bucket", *objects(outcome["key"], at))
    if "streamId" in outcome:
        stream = iot.describe_stream(streamId=outcome["streamId"])["streamInfo"]
        file = f"s3://{at['bucket']}/{at['key']}, version {at['version']}"
        show("Stream", *rows({"stream": stream["streamArn"], "file": file, "role": stream["roleArn"]}))
    show("Signature", f"✓ verifies with the certificate over all {len(image):,} bytes that devices fetch")
    if "streamId" in outcome:  # the parser requires a stream
        show("The job document, read by the parser of rustot", *device(document).splitlines())
    show("Job executions", *executions(iot, job_id))
    if {"startTime", "maintenanceWindows"} & job.get("schedulingConfig", {}).keys():
        print(
            "\nThe job has a schedule. AWS would wait for its start; the local cloud offers the job to devices at once."
        )
    print()
    if "streamId" in outcome:
        install(cloud, job_id, file_path, uploaded)
    else:
        show_download(cloud, job_id, uploaded)
    print(f"\njobArn: {outcome['jobArn']}")
    return None


def log_line(outcome):
    """Returns the facts of the function's final log line, with the durations of its steps in one row."""
    framing = ("timestamp", "level", "target", "span", "outcome")
    facts = {name: value for name, value in outcome.items() if name not in framing}
    verified = "yes, by the function" if facts["verified"] else "no"
    facts["verified"] = f"{verified}; see below for the demo's own check"
    times = {name.removesuffix("Ms"): facts.pop(name) for name in list(facts) if name.endswith("Ms")}
    return facts | {"duration": ", ".join(f"{step} {time} ms" for step, time in times.items())}


def job_facts(job):
    schedule = job.get("schedulingConfig", {})
    retries = job.get("jobExecutionsRetryConfig", {}).get("criteriaList", [])
    windows = [
        f"{each['startTime']} for {each['durationInMinutes']} minutes"
        for each in schedule.get("maintenanceWindows", [])
    ]
    return {
        "targets": ", ".join(job["targets"]),
        "starts": in_both_times(schedule["startTime"]) if "startTime" in schedule else "now",
        "ends": f"{in_both_times(schedule['endTime'])}, {schedule['endBehavior']}"
        if "endTime" in schedule
        else "never",
        "timeout": f"{job['timeoutConfig']['inProgressTimeoutInMinutes']} minutes per device",
        "retries": ", ".join(f"{each['numberOfRetries']} if {each['failureType']}" for each in retries) or "none",
        "selection": job["targetSelection"],
        "windows": ", ".join(windows) or "none",
    }


def in_both_times(text):
    """Returns a time of CreateJob in UTC and, if it differs, in the time zone of this machine."""
    time = datetime.fromisoformat(text).replace(tzinfo=UTC)
    local_time = time.astimezone()
    shown = f"{time:%Y-%m-%d %H:%M} UTC"
    return shown if not local_time.utcoffset() else f"{shown} ({local_time:%Y-%m-%d %H:%M} {local_time:%Z})"


def objects(uploaded, fetched):
    """Yields a line for each version of each object, with its kind."""
    pages = boto3.client("s3").get_paginator("list_object_versions").paginate(Bucket=fetched["bucket"])
    for each in pages.search("Versions[]"):
        if each["Key"] == uploaded:
            kind = "upload"
        elif each["Key"].endswith("/release.json"):
            kind = "record"
        elif each["VersionId"] == fetched["version"]:
            kind = "raw copy"
        else:
            kind = "signed object"
        yield f"{kind:<13}{each['Size']:>11,} bytes  {each['VersionId'][:8]}…  {each['Key']}"


def executions(iot, job_id):
    pages = iot.get_paginator("list_job_executions_for_job").paginate(jobId=job_id)
    for each in sorted(pages.search("executionSummaries[]"), key=lambda each: each["thingArn"]):
        yield f"{each['jobExecutionSummary']['status']:<10}{each['thingArn'].rpartition('/')[2]}"
    yield "(AWS queues executions when the job starts, MiniStack at once)"


if __name__ == "__main__":
    run(main)
