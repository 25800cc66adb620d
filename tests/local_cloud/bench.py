"""`make bench`: measures releases by the function of `sam build`, and an empty function, on the local cloud.

Writes docs/developer/benchmarks.md. Never fails because of a time.
"""

import json
import os
import platform
import re
import shutil
import threading
import time
import uuid
from collections import Counter
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from queue import Empty, SimpleQueue
from statistics import median, quantiles
from subprocess import DEVNULL
from textwrap import fill

from samcli.lib.package.utils import make_zip_with_lambda_permissions

from cloud import ACCOUNT, REGION, SIGNING_PROFILE, THING_GROUP, Cloud
from torture import faults

from alive import step
from modes import put_objects, settings_on
from operate import archived
from program import KEPT, ROOT, TARGET, THIS_MACHINE, Failed, output_of, run, spawn, stop
from stack import architecture, client

PAGE = ROOT / "docs/developer/benchmarks.md"
EMBEDDING_PROFILE = "embedding"
# The forms of signed objects, each with the signing profile of its releases.
FORMS = {"located": SIGNING_PROFILE, "embedded": EMBEDDING_PROFILE}

# The maximum duration of an invocation, in seconds.
SECONDS = 120
# Cold starts of each function, and warm invocations after each of them.
STARTS, WARM = 15, 3
# The number of releases of large images, each in a new process.
LARGE_STARTS = 5
# The sizes of images, in bytes. The larger one is the maximum of the platform that embeds images.
SMALL, LARGE = 256 * 1024, 16 * 1024 * 1024
# The time that each request takes in addition, in milliseconds, and the number of releases with it.
LATENCY, DELAYED = 100, 5
# The durations of signing jobs, in milliseconds.
SIGNING = range(300, 3001, 100)
SIGNING_ROWS = [(300, 900), (1000, 1900), (2000, 3000)]


class RuntimeApi(BaseHTTPRequestHandler):
    """The runtime API of Lambda for one function: https://docs.aws.amazon.com/lambda/latest/dg/runtimes-api.html."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    # Headers and body are sent together.
    wbufsize = -1

    def do_GET(self):
        event = self.server.events.get()
        invocation = {
            "Lambda-Runtime-Aws-Request-Id": uuid.uuid4(),
            "Lambda-Runtime-Deadline-Ms": int((time.time() + SECONDS) * 1000),
            "Lambda-Runtime-Invoked-Function-Arn": f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:bench",
        }
        self.respond(HTTPStatus.OK, event, invocation)

    def do_POST(self):
        self.server.results.put(self.rfile.read(int(self.headers["Content-Length"])))
        self.respond(HTTPStatus.ACCEPTED, b"", {})

    def respond(self, status, body, headers):
        self.send_response(status)
        for name, value in (headers | {"Content-Length": len(body)}).items():
            self.send_header(name, str(value))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


class Function:
    """A running function, as a context manager."""

    def __init__(self, program, settings):
        self.program, self.settings = program, settings

    def __enter__(self):
        self.api = ThreadingHTTPServer((THIS_MACHINE, 0), RuntimeApi)
        self.api.events, self.api.results = SimpleQueue(), SimpleQueue()
        threading.Thread(target=self.api.serve_forever, daemon=True).start()
        runtime = {
            "AWS_LAMBDA_RUNTIME_API": f"{THIS_MACHINE}:{self.api.server_port}",
            "AWS_LAMBDA_FUNCTION_NAME": "bench",
            "AWS_LAMBDA_FUNCTION_VERSION": "1",
            "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "128",
        }
        self.started = time.perf_counter()
        self.process = spawn([self.program], env=os.environ | self.settings | runtime, stdout=DEVNULL, stderr=DEVNULL)
        return self

    def __exit__(self, *_):
        stop(self.process)
        self.api.shutdown()
        self.api.socket.close()

    def invoke(self, event, since=None):
        """Returns the milliseconds of an invocation, or those since another time."""
        since = since or time.perf_counter()
        self.api.events.put(json.dumps(event).encode())
        try:
            result = json.loads(self.api.results.get(timeout=SECONDS))
        except Empty:
            raise Failed(f"the function did not respond within {SECONDS} s") from None
        took = (time.perf_counter() - since) * 1000
        if result and result.get("releases", [{}])[0].get("outcome") != "created":
            raise Failed(f"an upload was not released: {result}")
        return took

    def peak_memory(self):
        """Returns the peak of the resident memory of the process so far, in MB."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return int(re.search(r"VmHWM:\s+(\d+) kB", status)[1]) * 1024 / 1e6


class Bench:
    """The programs to measure, and the settings of releases."""

    def __init__(self, settings, empty):
        self.settings = settings
        self.programs = dict.fromkeys(FORMS, ROOT / ".aws-sam/build/Function/bootstrap") | {"empty": empty}

    def function(self, name):
        settings = self.settings | {"SIGNING_PROFILE": FORMS[name]} if name in FORMS else {}
        return Function(self.programs[name], settings)

    def event(self, name, size=SMALL):
        """Uploads an image, and returns its event. The empty function ignores its event."""
        event = json.loads((ROOT / "events/put.json").read_text())
        if name not in FORMS:
            return event
        event["Records"][0]["s3"]["object"] |= {"key": f"firmware/{uuid.uuid4()}.bin", "size": size}
        return put_objects(event, self.settings["UPLOAD_BUCKET"], f"ota:thing-group={THING_GROUP}")

    def times_and_memory(self):
        """Returns samples by measure and function. Measures the functions in turn."""
        samples = {}
        for _ in range(STARTS):
            for name in self.programs:
                events = [self.event(name) for _ in range(1 + WARM)]
                with self.function(name) as function:
                    cold = [function.invoke(events[0], function.started)]
                    warm = [function.invoke(event) for event in events[1:]]
                    memory = [function.peak_memory()]
                for measure, values in {"cold": cold, "warm": warm, "memory": memory}.items():
                    samples.setdefault((measure, name), []).extend(values)
        for _ in range(LARGE_STARTS):
            for name in FORMS:
                event = self.event(name, LARGE)
                with self.function(name) as function:
                    function.invoke(event)
                    samples.setdefault(("large", name), []).append(function.peak_memory())
        samples["large", "empty"] = samples["memory", "empty"]
        return samples

    def requests(self, cloud, name):
        """Returns the requests of a warm release by operation, and the number of round trips one after another."""
        reports = []
        with self.function(name) as function:
            function.invoke(self.event(name))
            for _ in range(DELAYED):
                event = self.event(name)
                faults(cloud, {"latency": LATENCY})
                function.invoke(event)
                reports.append(faults(cloud))
        faults(cloud, {})
        return Counter(reports[-1]["calls"]), median(report["round_trips"] for report in reports)

    def waiting(self, cloud):
        """Returns, by the duration of the signing job, the time that waiting adds, and the number of lookups."""
        found = {}
        with self.function("located") as function:
            function.invoke(self.event("located"))
            for signing in SIGNING:
                event = self.event("located")
                faults(cloud, {"signing": signing})
                function.invoke(event)
                report = faults(cloud)
                (added,) = report["signing_noticed"]
                found[signing] = added, report["calls"].count("DescribeSigningJob")
        faults(cloud, {})
        return found


def build_empty():
    """Builds the empty function with the profile of the function; returns the program and its zip."""
    output_of("cargo", "build", "--quiet", "--locked", "--release", "--package", "empty")
    folder = KEPT / "empty"
    folder.mkdir(parents=True, exist_ok=True)
    shutil.copy(TARGET / "release/empty", folder / "bootstrap")
    return folder / "bootstrap", Path(make_zip_with_lambda_permissions(str(KEPT / "empty-function"), str(folder)))


def embedding_profile():
    """Creates a signing profile like that of the local cloud, whose signed objects embed the image."""
    profile = client("signer").get_signing_profile(profileName=SIGNING_PROFILE)
    same = {name: profile[name] for name in ("signingMaterial", "signingParameters")}
    client("signer").put_signing_profile(profileName=EMBEDDING_PROFILE, platformId="AmazonFreeRTOS-Default", **same)


def table(*rows):
    """Returns a table of Markdown, whose first row is the header."""
    header, *rows = [f"| {' | '.join(map(str, row))} |" for row in rows]
    return "\n".join([header, re.sub(r"[^|]+", "---", header), *rows])


def spread(values, digits=0):
    """Returns the median of samples, and their quartiles in parentheses."""
    if len(values) == 1:
        return f"{values[0]:,.{digits}f}"
    low, middle, high = (f"{value:,.{digits}f}" for value in quantiles(values, n=4, method="inclusive"))
    return f"{middle} ({low}–{high})"


def paragraph(text):
    return fill(" ".join(text.split()), 120, break_long_words=False, break_on_hyphens=False)


MEASURES = {
    "cold": ("cold: from the start of the process to the response", "ms"),
    "warm": ("warm: an invocation of a running process", "ms"),
    "memory": ("peak memory, image of 256 KiB", "MB"),
    "large": ("peak memory, image of 16 MiB", "MB"),
    "zip": ("zip", "KB"),
}


def page(samples, requests, waiting):
    def ratio(measure, name):
        return f"{median(samples[measure, name]) / median(samples[measure, 'empty']):.1f}"

    ratios = [
        [title, *(ratio(measure, name) for name in FORMS)]
        for measure, (title, _) in MEASURES.items()
        if measure != "warm"
    ]
    counts = [
        ["requests", *(sum(requests[name][0].values()) for name in FORMS)],
        ["round trips one after another", *(requests[name][1] for name in FORMS)],
    ]
    waits = []
    for first, last in SIGNING_ROWS:
        added, lookups = zip(*(each for signing, each in waiting.items() if first <= signing <= last), strict=True)
        duration = f"{first / 1000}–{last / 1000} s"
        waits.append([duration, spread(added), max(added), f"{min(lookups)}–{max(lookups)}"])
    measured = [
        [f"{title}, {unit}", *(spread(samples[measure, name], digits=1) for name in (*FORMS, "empty"))]
        for measure, (title, unit) in MEASURES.items()
    ]
    calls = ", ".join(f"{number} {name}" for name, number in sorted(requests["located"][0].items()))
    forms = ["image located", "image embedded"]
    parts = [
        "# Benchmarks",
        paragraph("""This page is for developers who compare versions of the function. `make bench` measures, and writes
            this page. Compare ratios and counts first: they depend least on the machine."""),
        paragraph("""The command runs the function of `sam build` on the local cloud. In turn with it, the command runs
            an empty function with the same `lambda_runtime` and build profile. AWS Signer either locates the image in
            the signed object, or embeds the image there."""),
        "## Ratios to the empty function",
        paragraph("""Each number is the median of the function, divided by the median of the empty function. Warm times
            have no ratio, because the empty function sends no requests."""),
        table(["", *forms], *ratios),
        "## Requests of a release",
        paragraph(f"""To count the round trips one after another, the local cloud delays each request by {LATENCY} ms.
            Requests at the same time are one round trip. The release is warm, and its signing job ends at once."""),
        table(["", *forms], *counts),
        paragraph(f"The requests: {calls}. `GetUpload` is GetObject of the image."),
        "## Waiting for signing jobs",
        paragraph(f"""The time that waiting adds starts when a signing job ends. It lasts until the function looks up
            the ended job. The local cloud delays the end of {len(waiting)} signing jobs."""),
        table(["signing job", "added, ms: median (quartiles)", "maximum", "DescribeSigningJob requests"], *waits),
        "## Measured values",
        paragraph(f"""Medians, with quartiles in parentheses, of {STARTS} cold starts and {STARTS * WARM} warm
            invocations of each function. The peak memory with images of 16 MiB is that of {LARGE_STARTS} cold starts.
            The machine has {os.cpu_count()} cores ({platform.machine()})."""),
        paragraph("""The function shares the machine with the local cloud, which uses most of the time of a release. On
            AWS, a function of 128 MB gets a small share of one core."""),
        table(["", *forms, "empty function"], *measured),
    ]
    return "\n\n".join(parts) + "\n"


def main():
    with step("build the empty function"):
        empty, empty_zip = build_empty()
    with archived(architecture(platform.machine())) as (release_zip, _), Cloud() as cloud:
        with step("prepare the local cloud"):
            bench = Bench(settings_on(cloud), empty)
            embedding_profile()
        with step("times and memory"):
            samples = bench.times_and_memory()
        with step("requests and round trips"):
            requests = {name: bench.requests(cloud, name) for name in FORMS}
        with step("waiting for signing jobs"):
            waiting = bench.waiting(cloud)
    sizes = dict.fromkeys(FORMS, release_zip) | {"empty": empty_zip}
    samples |= {("zip", name): [path.stat().st_size / 1000] for name, path in sizes.items()}
    text = page(samples, requests, waiting)
    PAGE.write_text(text)
    print(f"\n{text}")


if __name__ == "__main__":
    run(main)
