"""Devices for the demo: they install the update of a job, on the local cloud."""

import os
import time

import boto3

from fleet import PATIENCE, Device, download, flip_bytes, serve_streams

from alive import rows, show, step
from program import Failed

MAX_DEVICES = 100
FAULTS = ("flip",)
# The parts of a device that are not rustot.
OURS = "transport (rumqttc), clock, storage, and the signature check in close_file, with the device's certificate"
SIGNATURE = (
    "rustot stores at most 64 characters of a signature, so the device gives it an empty one, and keeps the whole one"
)
LIMITS = "rustot 0.4 installs one file from a stream. It refuses a manifest of several files, and HTTP alone"


def number_of_devices(otherwise):
    """Returns DEVICES. Fails if it is not a number that this machine can run."""
    text = os.environ.get("DEVICES") or str(otherwise)
    if not (text.isascii() and text.isdigit() and 1 <= int(text) <= MAX_DEVICES):
        raise Failed(f"DEVICES is `{text}`, expected a number from 1 to {MAX_DEVICES}")
    return int(text)


def fault():
    """Returns FAULT: a fault in what devices receive, or nothing."""
    text = os.environ.get("FAULT") or ""
    if text not in ("", *FAULTS):
        raise Failed(f"FAULT is `{text}`, expected `flip`, or nothing for no fault")
    return text


def things_of(job_id):
    """Returns the names of the things that have an execution of a job, in the order of their numbers."""
    pages = boto3.client("iot").get_paginator("list_job_executions_for_job").paginate(jobId=job_id)
    names = [arn.rpartition("/")[2] for arn in pages.search("executionSummaries[].thingArn")]
    return sorted(names, key=lambda name: (len(name), name))


def show_download(cloud, job_id, image):
    """Downloads the image as a device that uses HTTP, and shows the result. Fails if the device does not install it."""
    if fault():
        raise Failed("FAULT=flip changes the blocks of a stream, and this release has no stream")
    (thing, *_) = things_of(job_id)
    with step("install the update on one device, by HTTP"):
        result = download(cloud, thing)
    show(
        "Device",
        *rows({"agent": "a program of this project: rustot requires a stream", "URL": result["url"].partition("?")[0]}),
    )
    show(
        "Update on the device",
        f"{thing:<15} {result['status']:<10} {len(result['image']):,} bytes, {result['signature']}",
    )
    execution = boto3.client("iot").describe_job_execution(jobId=job_id, thingName=thing)["execution"]
    if (result["status"], execution["status"], result["image"]) != ("SUCCEEDED", "SUCCEEDED", image):
        raise Failed(
            f"the job execution is {execution['status']}: expected SUCCEEDED, with the bytes that were uploaded"
        )
    print(f"\nThe device installed the very bytes that were uploaded: {len(image):,} bytes.")


def install(cloud, job_id, file_path, image):
    """Runs a device for each execution of a job, and shows the results. Fails if a device does not do as expected."""
    iot = boto3.client("iot")
    things = things_of(job_id)
    flips = fault() == "flip"
    count = f"{len(things)} device{'s' * (len(things) > 1)}"
    with step(f"give {count} a certificate and a policy, and connect the streams to the broker") as about:
        devices = registered(cloud, things, about)
        serve_streams(cloud)
        flip_bytes(cloud, flipped=flips)
    try:
        with step(f"install the update on {count}, by MQTT") as about:
            results = finished(devices, about)
    finally:
        for device in devices:
            device.stop()

    show(
        "Device",
        *rows(
            {"agent": "rustot 0.4, independent of this project", "ours": OURS, "signature": SIGNATURE, "limits": LIMITS}
        ),
    )
    show("Updates on devices", *map(line_of, things, results))
    executions = [iot.describe_job_execution(jobId=job_id, thingName=thing)["execution"] for thing in things]
    statuses = ", ".join(sorted({each["status"] for each in executions}))
    job = iot.describe_job(jobId=job_id)["job"]
    show("Job after the update", *rows({"executions": statuses, "job": job["status"]}))

    expected = "FAILED" if flips else "SUCCEEDED"
    # A continuous job goes on: devices can join its targets at any time.
    expected_of_job = "IN_PROGRESS" if job["targetSelection"] == "CONTINUOUS" else "COMPLETED"
    if (statuses, job["status"]) != (expected, expected_of_job):
        raise Failed(
            f"the job executions are {statuses}, and the job is {job['status']}: expected {expected}, {expected_of_job}"
        )
    if not flips and any(device.installed(file_path) != image for device in devices):
        raise Failed("a device installed other bytes than those that were uploaded")
    refusal = ("the signature does not verify", len(image))
    if flips and any((result["problem"], result["bytes"]) != refusal for result in results):
        raise Failed("a device failed for another reason than the changed bit")
    if flips and any(device.has_installed(file_path) for device in devices):
        raise Failed("a device installed the changed image")
    if flips:
        print("\nFAULT=flip changed one bit on the way: every device refused the image.")
    else:
        print(f"\nEvery device installed the very bytes that were uploaded: {len(image):,} bytes.")


def registered(cloud, things, about):
    """Creates a device for each thing."""
    devices = []
    for thing in things:
        devices.append(Device(cloud, thing))
        about.detail = f"{len(devices)} of {len(things)}"
    return devices


def finished(devices, about):
    """Starts the devices, and waits until all of them are finished; returns their results."""
    for device in devices:
        device.start()
    deadline = time.monotonic() + PATIENCE
    while running := [device for device in devices if device.process.poll() is None]:
        blocks = sum(device.blocks() for device in devices)
        about.detail = f"{len(devices) - len(running)} of {len(devices)} finished, {blocks:,} blocks"
        if time.monotonic() > deadline:
            raise Failed(f"after {PATIENCE} s, {len(running)} devices are not finished, such as {running[0].thing}")
        time.sleep(0.1)
    return [device.result() for device in devices]


def line_of(thing, result):
    """Returns one line about a device."""
    speed = f"{result['blocks']} blocks, {result['bytes']:,} bytes in {result['milliseconds'] / 1000:.1f} s"
    signature = f"signature ✓ {result['verified']}" if result["verified"] else f"✗ {result['problem']}"
    return f"{thing:<15} {result['status']:<10} {speed}, {signature}, firmware {result['version']}"
