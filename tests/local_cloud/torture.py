"""Tests that each upload to the deployed stack results in one job, with faults at the function's requests.

- `torture.py kill` kills the function (`kill -9`) before and after each of its requests.
- `torture.py soak` uploads hundreds of images with random faults, and then redrives the failure queue once.
- `torture.py burst` uploads all images at once, with Signer and AWS IoT throttled to their quotas.

The environment variables are SOAK and BURST (the number of uploads) and SEED (of the random faults).
"""

import json
import os
import random
import re
import sys
import time
import urllib.request
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from statistics import median

from cloud import THING_GROUP, THINGS, Cloud

from alive import rows, show, step
from operate import redrive
from program import Failed, run
from stack import client

# Lambda's attempts at an event.
ATTEMPTS = 3
TAGS = f"ota:thing-group={THING_GROUP}"

# The share of faulty requests and of killed invocations. One event in DOUBLED events arrives twice.
FAULTY, KILLED, DOUBLED = 1 / 5, 1 / 10, 5
# The usual number of requests of an invocation, with the retries of the SDK.
CALLS = 16
# Requests per second that AWS accepts from an account:
# https://docs.aws.amazon.com/general/latest/gr/signer.html, .../iot-core.html and .../iot_device_management.html
QUOTAS = {
    "StartSigningJob": 3,
    "DescribeSigningJob": 6,
    "GetSigningProfile": 3,
    "CreateStream": 15,
    "DescribeStream": 15,
    "CreateJob": 10,
    "DescribeJob": 10,
}
# The duration of a signing job in a burst, in milliseconds.
SIGNING = 2000
# Seconds in which at least one event must reach its outcome.
PATIENCE = 60
# The maximum number of deliveries in progress at any time.
AT_ONCE = 24
ACCEPTED = (TAGS, f"{TAGS}&ota:start=45m&ota:end=2h&ota:retries=2", f"ota:thing={THINGS[0]}+{THINGS[1]}&ota:start=now")
NOT_ACCEPTED = ("", "team=blue", "ota:thing-group=production", f"{TAGS}&ota:retries=lots&ota:strat=now")


@dataclass
class Upload:
    """One object version, as it was uploaded."""

    cloud: Cloud
    key: str
    tags: str
    image: bytes
    deliveries: int = 1

    def __post_init__(self):
        self.version = self.cloud.upload(self.key, self.image, self.tags)

    def description(self):
        """Returns the description of its job and its stream."""
        return f"s3://{self.cloud.outputs['BucketName']}/{self.key}?versionId={self.version}"

    def check_job(self, job_id):
        """Fails unless a job has the bytes of this upload, and a signature over them."""
        job = client("iot").describe_job(jobId=job_id)["job"]
        ota = document(job_id)
        (file,) = ota["files"]
        at, streamed = self.cloud.streamed(ota["streamname"])
        expect(f"the upload of the job {job_id} is", described(job), self.description())
        expect(f"the image of {job_id} equals the upload:", streamed == self.image, True)
        expect(f"the file size of {job_id} is", file["filesize"], len(self.image))
        self.cloud.verify(file["sig-sha256-ecdsa"], streamed)
        record = {"Bucket": at["bucket"], "Key": f"{at['key'].rpartition('/')[0]}/release.json"}
        receipt = json.load(client("s3").get_object(**record)["Body"])
        expect(f"the receipt of {self.key} names the job", receipt.get("jobArn"), job["jobArn"])
        return ota["streamname"]


def described(job):
    """Returns the upload in the description of a job, without the mark of the release."""
    return re.sub(r" \(release [0-9a-f]{16}\)$", "", job["description"])


def document(job_id):
    """Returns the part of a job document for devices."""
    return json.loads(client("iot").get_job_document(jobId=job_id)["document"])["afr_ota"]


def expect(what, found, expected):
    if found != expected:
        raise Failed(f"{what} {found!r}, expected {expected!r}")


def faults(cloud, plan=None):
    """Sets a plan of faults, if one is passed; returns the faults and requests since the last plan."""
    method, body = ("GET", None) if plan is None else ("PUT", json.dumps(plan).encode())
    request = urllib.request.Request(f"{cloud.endpoint}/_faults", body, method=method)
    with urllib.request.urlopen(request, timeout=10) as answer:
        return json.load(answer)


def kill_points(cloud):
    """Returns the points before and after each request of a release without faults."""
    faults(cloud, {})
    upload = Upload(cloud, "firmware/unharmed.bin", TAGS, random.randbytes(4000))
    outcome = cloud.outcome(upload.key, upload.version)
    expect("without faults, the outcome is", outcome["outcome"], "created")
    calls = faults(cloud)["calls"]
    sites = [(call, calls[:at].count(call)) for at, call in enumerate(calls)]
    return [(when, *site) for site in sites for when in ("before", "after")]


def survive_kill(cloud, when, operation, nth):
    """Kills the function at one request of a release, and expects one job; returns the number of attempts."""
    before, invocations = cloud.creations(), cloud.invocations()
    faults(cloud, {"at": {"operation": operation, "nth": nth, "fault": f"killed-{when}"}})
    upload = Upload(cloud, f"firmware/killed-{when}-{operation}-{nth}.bin", TAGS, random.randbytes(4000))
    outcome = cloud.outcome(upload.key, upload.version)
    expect("the faults of the function are", faults(cloud)["faults"], {f"killed-{when}": 1})
    if outcome["outcome"] not in ("created", "adopted"):
        raise Failed(f"the outcome is {outcome}")
    jobs, streams, _ = (now - then for now, then in zip(cloud.creations(), before, strict=True))
    expect("the new jobs are", jobs, {outcome["jobId"]})
    expect("the new streams are", streams, {upload.check_job(outcome["jobId"])})
    expect("the events in the failure queue are", cloud.failures(), 0)
    attempts = cloud.invocations() - invocations
    expect("Lambda's attempts suffice:", attempts <= ATTEMPTS, True)
    return attempts


def kill(cloud):
    with step("release once without faults"):
        points = kill_points(cloud)
    attempts, failed = [], 0
    for when, operation, nth in points:
        try:
            with step(f"kill -9 {when} {operation} {nth + 1}"):
                attempts.append(survive_kill(cloud, when, operation, nth))
        except Failed as why:
            failed += 1
            print(f"  {why}")
    print(
        f"\n{len(points)} kills, {len(attempts)} with one job each, after at most {max(attempts, default=0)} attempts"
    )
    return len(attempts), failed


def soak(cloud):
    number, seed = count("SOAK", 500, at_least=100), count("SEED", time.time_ns() % 10**6, at_least=0)
    began = time.monotonic()
    print(f"SEED={seed}")
    faults(cloud, {"seed": seed, "faulty": FAULTY, "killed": KILLED / CALLS})
    with step(f"{number} uploads, with faults"):
        uploads = uploads_with_faults(cloud, number, random.Random(seed))
    report, invocations, failures = faults(cloud), cloud.invocations(), cloud.failures()
    faults(cloud, {})
    # A later check reports the events that the redrive leaves.
    with suppress(Failed), step(f"redrive {failures} events, without faults"):
        redrive(cloud.outputs)
    with step("check everything that was created"):
        checks = list(checks_of_soak(cloud, uploads, report, invocations))

    outcomes = Counter(line["outcome"] for line in cloud.all_outcomes())
    show(
        "What happened",
        *rows(
            {
                "seconds": round(time.monotonic() - began),
                "uploads": len(uploads),
                "events": sum(upload.deliveries for upload in uploads),
                "requests": f"{len(report['calls'])}, {sum(report['faults'].values())} of them faulty",
                "faults": ", ".join(f"{number} {fault}" for fault, number in report["faults"].items()),
                "invocations": f"{invocations}, {kills(report)} of them killed",
                "redriven": f"{failures} events, {cloud.invocations() - invocations} invocations",
                "outcomes": ", ".join(f"{number} {outcome}" for outcome, number in outcomes.most_common()),
            }
        ),
    )
    print()
    for title, problem in checks:
        print(f"✗ {title}: {problem}" if problem else f"✓ {title}")
    failed = sum(problem is not None for _, problem in checks)
    return len(checks) - failed, failed


def burst(cloud):
    number = count("BURST", 100, at_least=1)
    images = [random.randbytes(4000) for _ in range(number)]
    with step("release once without quotas"):
        first = Upload(cloud, "firmware/before.bin", TAGS, random.randbytes(4000))
        expect("without quotas, the outcome is", cloud.outcome(first.key, first.version)["outcome"], "created")
    faults(cloud, {"quotas": QUOTAS, "signing": SIGNING})
    before, invocations, began = cloud.creations(), cloud.invocations(), time.monotonic()
    with step(f"{number} uploads at once"), ThreadPoolExecutor(number) as pool:
        uploads = list(pool.map(lambda at: Upload(cloud, f"firmware/burst/{at}.bin", TAGS, images[at]), range(number)))
    with step("wait for the outcome of each"):
        known, deadline = 0, time.monotonic() + PATIENCE
        while known < number and time.monotonic() < deadline:
            before_this, known = known, len(final_outcomes(cloud)) - 1 + cloud.failures()
            if known > before_this:
                deadline = time.monotonic() + PATIENCE
            time.sleep(0.5)
    seconds, report = time.monotonic() - began, faults(cloud)
    faults(cloud, {})
    attempts = cloud.invocations() - invocations
    jobs, streams, _ = (now - then for now, then in zip(cloud.creations(), before, strict=True))
    calls = Counter(report["calls"])
    show(
        "What happened",
        *rows(
            {
                "seconds": round(seconds),
                "attempts": f"{attempts} for {number} uploads",
                "StartSigningJob": f"{calls['StartSigningJob']} requests, of which Signer accepted {number}",
                "DescribeSigningJob": f"{calls['DescribeSigningJob']} requests, of which Signer accepts 6 a second",
                "signing jobs": f"last {SIGNING} ms; waiting adds {median(report['signing_noticed'])} ms (median)",
                "throttled": f"{report['faults'].get('throttled', 0)} of {len(report['calls'])} requests",
            }
        ),
    )
    print()
    checks = {
        f"{number} uploads result in {number} jobs": (len(jobs), number),
        f"and in {number} streams": (len(streams), number),
        "no event needs a redrive": (cloud.failures(), 0),
        "Signer was throttled": (report["faults"].get("throttled", 0) > 0 or number < 4, True),
        "each is released by its first attempt": (attempts, number),
    }
    failed = 0
    descriptions = {described(client("iot").describe_job(jobId=job)["job"]): job for job in jobs}
    try:
        for upload in uploads:
            upload.check_job(descriptions[upload.description()])
    except (Failed, KeyError) as why:
        failed += 1
        print(f"✗ each job has its upload's bytes, and a signature over them: {why}")
    else:
        print("✓ each job has its upload's bytes, and a signature over them that verifies")
    for title, (found, expected) in checks.items():
        print(f"✓ {title}" if found == expected else f"✗ {title}: {found}, expected {expected}")
        failed += found != expected
    return len(checks) + 1 - failed, failed


def uploads_with_faults(cloud, number, chance):
    """Uploads one image after another, some with two events, until each event has an outcome."""
    functions, uploads = client("lambda"), []
    done, deadline = 0, 0
    while True:
        deliveries = sum(upload.deliveries for upload in uploads)
        before, done = done, len(final_outcomes(cloud)) + cloud.failures()
        if done > before or not uploads:
            deadline = time.monotonic() + PATIENCE
        if len(uploads) == number and done == deliveries:
            return uploads
        if time.monotonic() > deadline:
            raise Failed(f"of {deliveries} events, only {done} have an outcome or are in the failure queue")
        for _ in range(min(AT_ONCE - (deliveries - done), number - len(uploads))):
            tags = chance.choice(NOT_ACCEPTED if chance.random() < 1 / 8 else ACCEPTED)
            image = chance.randbytes(chance.randrange(1, 64 * 1024))
            upload = Upload(cloud, f"firmware/soak/{len(uploads)}.bin", tags, image)
            uploads.append(upload)
            if len(uploads) % DOUBLED == 0:
                event = cloud.notification(upload.key, upload.version)
                functions.invoke(FunctionName=cloud.outputs["FunctionName"], InvocationType="Event", Payload=event)
                upload.deliveries += 1
        time.sleep(0.5)


def final_outcomes(cloud):
    """Returns the outcomes that Lambda does not retry: one for each event outside the failure queue."""
    return [line for line in cloud.all_outcomes() if line["outcome"] != "failed"]


def kills(report):
    return sum(number for fault, number in report["faults"].items() if fault.startswith("killed"))


def checks_of_soak(cloud, uploads, report, invocations):
    """Yields each check with its problem, or with `None`."""
    iot = client("iot")
    jobs, streams, _ = cloud.creations()
    descriptions = {job: described(iot.describe_job(jobId=job)["job"]) for job in jobs}
    accepted = {upload.description(): upload for upload in uploads if upload.tags in ACCEPTED}
    outcomes = {}
    for line in final_outcomes(cloud):
        outcomes.setdefault((line["key"], line["versionId"]), []).append(line["outcome"])
    deliveries = sum(upload.deliveries for upload in uploads)

    def check(title, *problems):
        problems = [problem for problem in problems if problem]
        return title, "; ".join([*problems[:5], f"… {len(problems)} in total"]) if problems else None

    def wrong(title, found, expected):
        return None if found == expected else f"{title} {found}, expected {expected}"

    yield check(
        f"{len(jobs)} jobs = {len(accepted)} accepted uploads",
        wrong("jobs", len(jobs), len(accepted)),
        *(f"{each} has no job" for each in accepted.keys() - set(descriptions.values())),
        *(f"{job} is of {of}" for job, of in descriptions.items() if of not in accepted),
    )
    problems = []
    for job, of in descriptions.items():
        try:
            accepted[of].check_job(job)
        except (Failed, KeyError) as why:
            problems.append(f"{job}: {why}")
    yield check("each job has its upload's bytes, a signature over them that verifies, and its receipt", *problems)
    streamed = {document(job)["streamname"] for job in jobs}
    yield check(
        f"{len(streams)} streams = {len(jobs)} jobs",
        wrong("jobs' streams", len(streamed), len(jobs)),
        *(f"{stream} has no job" for stream in streams - streamed),
        *(f"{stream} does not exist" for stream in streamed - streams),
    )
    yield check("the failure queue is empty", wrong("events", cloud.failures(), 0))
    yield check(
        f"{sum(map(len, outcomes.values()))} outcomes = {deliveries} events",
        *(
            f"{upload.key} with tags `{upload.tags}` is {found}, expected {upload.deliveries}"
            for upload in uploads
            if len(found := outcomes.get((upload.key, upload.version), [])) != upload.deliveries
            or not set(found) <= ({"created", "adopted"} if upload.tags in ACCEPTED else {"rejected", "skipped"})
            or found.count("created") > 1
        ),
    )
    places = client("s3").get_paginator("list_objects_v2")
    places = places.paginate(Bucket=cloud.outputs["BucketName"], Prefix="SignedImage/", Delimiter="/")
    places = len(list(places.search("CommonPrefixes[].Prefix")))
    yield check("nothing is left of an upload without a job", wrong("places of signed objects", places, len(jobs)))

    faulty = sum(report["faults"].values()) / len(report["calls"])
    problem = None if abs(faulty - FAULTY) < 0.05 else "expected one in five"
    yield check(f"{faulty:.0%} of the requests were faulty", problem)
    killed = kills(report) / invocations
    problem = None if killed > KILLED / 4 else "expected one in ten"
    yield check(f"{killed:.0%} of the invocations were killed", problem)


def count(name, default, at_least):
    """Returns a number from the environment."""
    value = os.environ.get(name) or str(default)
    if not value.isdecimal() or int(value) < at_least:
        raise Failed(f"{name} is `{value}`, expected a number from {at_least}")
    return int(value)


def main():
    torture = {"kill": kill, "soak": soak, "burst": burst}[sys.argv[1]]
    with Cloud() as cloud:
        cloud.with_stack()
        passed, failed = torture(cloud)
    print(f"\n{passed} passed, {failed} failed")
    return failed > 0


if __name__ == "__main__":
    run(main)
