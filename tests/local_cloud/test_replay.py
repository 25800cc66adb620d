"""Tests replays without Docker: sample events, modes, and messages about problems."""

import json
import os
import socket
import subprocess
import sys
import tempfile
import time
import unittest
from datetime import UTC, datetime, timedelta
from pathlib import Path
from unittest import mock

import boto3
from samcli.yamlhelper import yaml_parse

from cloud import Cloud, isolate

import modes
import replay
import runners
import watched
from program import ROOT, Failed, Rejected, run

PROGRAM = [sys.executable, ROOT / "ops/replay.py"]
PUT = "events/put.json"
MANIFEST = "events/manifest.json"
VARIABLES = {
    "EVENT",
    "MODE",
    "TAGS",
    "ENV_VARS",
    "FIRMWARE",
    "MANIFEST",
    "STACK",
    "RELEASE",
    "BUCKET",
    "KEY",
    "VERSION",
    "OUT",
}
# The results of the sample events are of this time. The default start is an hour and at most a minute later.
RESULTS_AT = datetime(2026, 11, 23, 21, 40, 30, tzinfo=UTC)


class SampleEvents:
    """Replays every sample event in a dry run, by the `runner` of the test."""

    def test_every_sample_event_has_the_expected_result(self):
        isolate()
        settings = modes.sample_settings()
        samples = replay.samples()
        self.assertGreaterEqual(len(samples), 36)
        for sample in samples:
            with self.subTest(sample.name):
                print(f"\n    {sample.name}", end="", flush=True)
                before = datetime.now(UTC)
                result, log = type(self).runner(json.loads(sample.read_text()), settings)
                expected = sample.with_suffix(".result.json").read_text()
                self.assertIn(expected_at(expected, before, datetime.now(UTC)), [result], log)
        print()


class AnyOf(list):
    """A value that equals each of its items."""

    def __eq__(self, other):
        return any(other == each for each in self)


def expected_at(result, *times):
    """Returns the possible results at these times: a new minute may have begun between them."""
    starts = {minute_after(time) for time in times}
    shifts = [start - minute_after(RESULTS_AT) for start in starts]
    return AnyOf(shifted(json.loads(result), shift) for shift in shifts)


def minute_after(time):
    return time.replace(second=0, microsecond=0) + timedelta(minutes=1)


def shifted(value, shift):
    """Returns a result with its start and end times moved."""
    if isinstance(value, dict):
        return {
            name: f"{datetime.fromisoformat(each) + shift:%Y-%m-%dT%H:%M}"
            if name in ("startTime", "endTime")
            else shifted(each, shift)
            for name, each in value.items()
        }
    return [shifted(each, shift) for each in value] if isinstance(value, list) else value


def call(command, **environment):
    """Runs the program as `make` does; returns its exit code and its output."""
    variables = {name: str(value) for name, value in environment.items()}
    shell = {name: value for name, value in os.environ.items() if name not in VARIABLES}
    ended = subprocess.run(
        [*PROGRAM, command],
        **{"cwd": ROOT, "env": shell | variables, "text": True},
        **{"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "timeout": 300},
    )
    return ended.returncode, ended.stdout


def result_in(output):
    """Returns the result in the output of a replay."""
    return json.loads(output.partition("\nResult\n")[2].partition("\n\n")[0])


class ByCargo(SampleEvents, unittest.TestCase):
    runner = runners.by_cargo


class Settings(unittest.TestCase):
    def test_the_sample_settings_are_exactly_those_of_the_template(self):
        template = yaml_parse((ROOT / "template.yaml").read_text())
        declared = template["Resources"]["Function"]["Properties"]["Environment"]["Variables"]
        self.assertEqual(sorted(modes.sample_settings()), sorted(declared))


class Output(unittest.TestCase):
    def test_the_output_is_the_result_the_job_document_and_the_log(self):
        code, output = call("cargo", EVENT=PUT, TAGS="ota:thing-group=lab-2&ota:start=now")
        self.assertEqual(code, 0, output)
        (release,) = result_in(output)["releases"]
        self.assertEqual(release["createJob"]["targets"], ["arn:aws:iot:us-east-1:111122223333:thinggroup/lab-2"])
        self.assertNotIn("startTime", release["createJob"]["schedulingConfig"])
        titles = [line for line in output.splitlines() if line in ("Result", "Job document", "Log")]
        self.assertEqual(titles, ["Result", "Job document", "Log"])
        self.assertRegex(output.partition("\nLog\n")[2], r"outcome +dry-run\n")
        self.assertNotIn("_aws", output, "metrics are for CloudWatch")

    def test_an_unknown_event_fails_with_a_message(self):
        code, output = call("cargo", EVENT="events/batch-operations.json")
        self.assertEqual(code, 1, output)
        message = result_in(output)["errorMessage"]
        self.assertTrue(message.startswith("the event is not understood: it is an object with the members"), output)
        self.assertIn("✗ the function failed", output)

    def test_an_invalid_setting_is_reported_from_the_log(self):
        with tempfile.NamedTemporaryFile("w") as file:
            json.dump({"Function": modes.sample_settings() | {"DEFAULT_RETRIES": "lots"}}, file)
            file.flush()
            code, output = call("cargo", EVENT=PUT, ENV_VARS=file.name)
        self.assertEqual(code, 1, output)
        self.assertIn("setting `DEFAULT_RETRIES` is `lots`, expected", output)
        self.assertIn("✗ the function returned no result", output)


class Manifests(unittest.TestCase):
    def test_a_dry_run_checks_a_manifest(self):
        manifest = json.loads((ROOT / "events/manifests/gateway.ota.json").read_text())
        manifest["abortConfig"]["criteriaList"][0]["action"] = "STOP"
        with tempfile.NamedTemporaryFile("w") as file:
            json.dump(manifest, file)
            file.flush()
            code, output = call("cargo", EVENT=MANIFEST, MANIFEST=file.name)
        self.assertEqual(code, Rejected.EXIT_CODE, output)
        self.assertEqual(output.splitlines()[-1], "✗ the release is rejected: see `reasons`")
        (release,) = result_in(output)["releases"]
        problem = "`abortConfig.criteriaList[0].action` is `STOP`, expected `CANCEL`"
        self.assertEqual((release["outcome"], release["reasons"]), ("rejected", [problem]))

    def test_a_manifest_and_its_files_are_released_on_a_local_cloud(self):
        code, output = call("cargo", EVENT=MANIFEST, MODE="local-cloud")
        self.assertEqual(code, 0, output)
        (release,) = result_in(output)["releases"]
        self.assertEqual(release["outcome"], "created", output)
        self.assertIn("abort criteria (the manifest)", output)


class Errors(unittest.TestCase):
    def assert_reports(self, expected, command="cargo", **environment):
        code, output = call(command, **environment)
        self.assertEqual(code, 1, output)
        last = output.strip().splitlines()[-1]
        self.assertTrue(last.startswith("✗ "), output)
        self.assertIn(expected, last)

    def test_an_unreadable_event_is_reported(self):
        self.assert_reports("EVENT is missing: name one of the sample events above, or a file of your own")
        self.assertRegex(call("cargo")[1], r"\n    EVENT=events/array\.json +a notification in an array\n")
        self.assert_reports("No such file", EVENT="events/nowhere.json")
        self.assert_reports("the event Makefile cannot be read: Expecting value", EVENT="Makefile")

    def test_an_unknown_mode_is_reported(self):
        self.assert_reports("MODE is `prod`, expected one of dry-run, local-cloud, account", EVENT=PUT, MODE="prod")

    def test_unreadable_settings_are_reported(self):
        self.assert_reports("events/put.json is not an environment file", EVENT=PUT, ENV_VARS=PUT)
        self.assert_reports("nowhere.json is not an environment file", EVENT=PUT, ENV_VARS="nowhere.json")

    def test_a_variable_that_the_mode_does_not_support_is_reported(self):
        message = "TAGS cannot be used with MODE=account, which supports RELEASE and STACK"
        self.assert_reports(message, EVENT=PUT, MODE="account", TAGS="ota:start=now")
        self.assert_reports("RELEASE cannot be used with MODE=dry-run", EVENT=PUT, RELEASE="yes")
        self.assert_reports("RELEASE is `true`, expected `yes`", EVENT=PUT, MODE="account", RELEASE="true")

    def test_a_missing_or_stopped_docker_is_reported(self):
        stopped = {"EVENT": PUT, "DOCKER_HOST": "unix:///nowhere/docker.sock"}
        with tempfile.TemporaryDirectory() as folder:
            docker = Path(folder, "docker")
            docker.touch(0o755)
            message = (
                "Docker is installed, but its engine does not answer: start it. Without Docker, `make invoke-cargo`"
            )
            self.assert_reports(message, "sam", PATH=folder, **stopped)
            docker.unlink()
            message = "Docker is not installed. Without Docker, `make invoke-cargo` does the same."
            self.assert_reports(message, "sam", PATH=folder, **stopped)

    def test_a_missing_build_is_reported(self):
        nowhere = Path("nowhere")
        with mock.patch.multiple(runners, BUILT=nowhere, TARGET=nowhere):
            for runner, target in ((runners.by_sam, "make invoke"), (runners.by_cargo, "make invoke-cargo")):
                with self.assertRaisesRegex(Failed, f"the function is not built: run .*`{target}`, which builds it"):
                    runner({}, {})

    def test_settings_that_differ_from_the_template_are_reported(self):
        sample = modes.sample_settings()
        lacking = {name: value for name, value in sample.items() if name != "DEFAULT_END"}
        for settings, message in (
            (lacking, "lacks the setting DEFAULT_END: is it of another version of this template?"),
            (sample | {"DEFAULT_STRAT": "1h"}, "has the unknown setting DEFAULT_STRAT"),
            (sample | {"MAX_IMAGE_BYTES": 1000}, "has 1000 for MAX_IMAGE_BYTES, expected text in quotes"),
            (sample | {"DRY_RUN": "false"}, "the settings have no DRY_RUN `true` with tags in DRY_RUN_TAGS"),
            (sample | {"DRY_RUN_TAGS": ""}, "the settings have no DRY_RUN `true` with tags in DRY_RUN_TAGS"),
            (["DEFAULT_END"], "is not an environment file"),
        ):
            with self.subTest(message), tempfile.NamedTemporaryFile("w", suffix=".json") as file:
                json.dump({"Function": settings}, file)
                file.flush()
                self.assert_reports(message, EVENT=PUT, ENV_VARS=file.name)

    def test_a_manifest_for_an_event_of_another_object_is_refused(self):
        for event in ("put", PUT, "events/two-records.json", "events/batch-operations.json"):
            message = f"MANIFEST cannot be used with EVENT={event}, which names no ….ota.json"
            self.assert_reports(message, EVENT=event, MANIFEST="events/manifests/gateway.ota.json")

    def test_the_errors_of_a_running_watch_are_reported(self):
        """Replays to a `make watch` that could not build the function, or has not noticed a change."""
        with socket.create_server(("127.0.0.1", 0)) as server, tempfile.TemporaryDirectory() as folder:
            port = server.getsockname()[1]
            file = Path(folder, "watch.json")
            about = {"endpoint": f"http://127.0.0.1:{port}", "port": port, "bucket": "b"}
            with mock.patch.multiple(watched, WATCHED=file, MAX_DELAY=0.2):
                for build, message in (
                    ({"since": time.time(), "is_done": True, "errors": "error[E0425]: x\n"}, r":\nerror\[E0425\]: x$"),
                    ({"since": 0, "is_done": True}, "has not built the newest change after 0.2 s"),
                ):
                    file.write_text(json.dumps(about | {"build": build}))
                    with self.assertRaisesRegex(Failed, message):
                        watched.await_build()
                file.write_text(json.dumps(about | {"build": {"since": time.time(), "is_done": True}}))
                watched.await_build()
                server.close()
                with self.assertRaisesRegex(Failed, "`make watch` has ended"):
                    watched.await_build()

    def test_a_missing_bucket_or_key_is_reported(self):
        self.assert_reports("BUCKET or KEY is missing", "event", BUCKET="firmware")


class OnLocalCloud(unittest.TestCase):
    def test_an_event_of_an_object_releases_only_its_current_version(self):
        key = "firmware/Größe 2+1 at 100%.bin"
        with Cloud() as cloud, tempfile.TemporaryDirectory() as folder:
            settings = modes.settings_on(cloud)
            bucket, s3, out = settings["UPLOAD_BUCKET"], boto3.client("s3"), Path(folder, "event.json")
            old, new = (
                s3.put_object(Bucket=bucket, Key=key, Body=image, Tagging="ota:thing-group=lab")["VersionId"]
                for image in (b"old", b"newer")
            )

            code, output = call("event", BUCKET=bucket, KEY=key, VERSION=old, OUT=out)
            self.assertEqual(code, 0, output)
            result, log = runners.by_cargo(json.loads(out.read_text()), settings)
            self.assertIsNotNone(result, log)
            (release,) = result["releases"]
            self.assertEqual((release["outcome"], release["versionId"]), ("skipped", old), log)

            code, output = call("event", BUCKET=bucket, KEY=key, OUT=out)
            self.assertEqual(code, 0, output)
            self.assertIn(new, output)
            event = json.loads(out.read_text())
            self.assertEqual(event["Records"][0]["s3"]["object"]["size"], 5)
            nowhere = Path(folder, "nowhere/event.json")
            code, output = call("event", BUCKET=bucket, KEY=key, OUT=nowhere)
            self.assertEqual(code, 1, output)
            self.assertEqual(output, f"✗ OUT cannot be written: [Errno 2] No such file or directory: '{nowhere}'\n")
            result, log = runners.by_cargo(event, settings)
            (release,) = result["releases"]
            self.assertEqual((release["outcome"], release["key"], release["versionId"]), ("created", key, new), log)
            self.assertEqual(cloud.streamed(release["streamId"])[1], b"newer")

            code, output = call("event", BUCKET=bucket, KEY="firmware/nothing.bin", OUT=out)
            self.assertEqual(code, 1, output)
            self.assertIn("✗ s3://ota-firmware-111122223333/firmware/nothing.bin cannot be read", output)
            s3.create_bucket(Bucket="without-versions")
            s3.put_object(Bucket="without-versions", Key=key, Body=b"image")
            code, output = call("event", BUCKET="without-versions", KEY=key, OUT=out)
            self.assertEqual(code, 1, output)
            self.assertIn("has no version ID", output)

    def test_tags_and_firmware_of_the_user_are_released(self):
        code, output = call(
            "cargo", EVENT=PUT, MODE="local-cloud", TAGS="ota:thing-group=lab-9&ota:job-id=replayed", FIRMWARE="LICENSE"
        )
        self.assertEqual(code, 0, output)
        (release,) = result_in(output)["releases"]
        self.assertEqual((release["outcome"], release["jobId"]), ("created", "AFR_OTA-replayed"), output)

    def test_an_event_in_envelopes_is_released(self):
        for sample in (
            "failure-queue",
            "sns-eventbridge",
            "eventbridge-encoded-key",
            "eventbridge-detail",
            "sqs-encoded-twice",
            "array",
        ):
            with self.subTest(sample):
                code, output = call("cargo", EVENT=f"events/{sample}.json", MODE="local-cloud")
                self.assertEqual(code, 0, output)
                self.assertEqual([each["outcome"] for each in result_in(output)["releases"]], ["created"], output)


if __name__ == "__main__":
    run(lambda: not unittest.main(verbosity=2, exit=False).result.wasSuccessful())
