"""Tests replays in Docker: the function of `sam build`, run by `sam local invoke`."""

import json
import os
import tempfile
import unittest
from contextlib import redirect_stdout
from io import StringIO
from unittest import mock

import boto3

from cloud import Cloud, device
from test_replay import PUT, SampleEvents, call, result_in

import engine
import modes
import replay
import runners
from program import ROOT, Failed, run
from stack import built


class BySam(SampleEvents, unittest.TestCase):
    runner = runners.by_sam


class Releases(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.cloud = cls.enterClassContext(Cloud(host=engine.bridge(client)))
        cls.settings = modes.settings_on(cls.cloud)

    def event(self, tags):
        """Returns the sample event of an object that exists."""
        event = json.loads((ROOT / PUT).read_text())
        return modes.put_objects(event, self.settings["UPLOAD_BUCKET"], tags)

    def test_a_release_in_docker_is_signed_streamed_and_scheduled(self):
        event = self.event("ota:thing-group=lab&ota:retries=2")
        uploaded = event["Records"][0]["s3"]["object"]
        result, log = runners.by_sam(event, self.settings)
        (release,) = result["releases"]
        self.assertEqual((release["outcome"], release["versionId"]), ("created", uploaded["versionId"]), log)

        iot, s3 = boto3.client("iot"), boto3.client("s3")
        image = s3.get_object(Bucket=release["bucket"], Key=uploaded["key"], VersionId=uploaded["versionId"])
        image = image["Body"].read()
        document = iot.get_job_document(jobId=release["jobId"])["document"]
        (file,) = json.loads(document)["afr_ota"]["files"]
        self.assertEqual(self.cloud.streamed(release["streamId"])[1], image)
        self.cloud.verify(file["sig-sha256-ecdsa"], image)
        self.assertIn(file["sig-sha256-ecdsa"], device(document))
        job = iot.describe_job(jobId=release["jobId"])["job"]
        self.assertEqual(job["schedulingConfig"]["startTime"], release["startTime"])
        retries = [{"failureType": "ALL", "numberOfRetries": 2}]
        self.assertEqual(job["jobExecutionsRetryConfig"]["criteriaList"], retries)

        (again,) = runners.by_sam(event, self.settings)[0]["releases"]
        self.assertEqual((again["outcome"], again["jobArn"]), ("adopted", release["jobArn"]))

    def test_a_replay_with_the_deployed_settings_checks_the_real_tags(self):
        self.cloud.build_and_deploy()
        key = "firmware/replayed.bin"
        version = self.cloud.upload(key, b"image", "ota:thing-group=lab")
        self.assertEqual(self.cloud.outcome(key, version)["outcome"], "created")
        with tempfile.TemporaryDirectory() as folder, mock.patch.dict("os.environ"):
            del os.environ["AWS_DEFAULT_REGION"]
            event = f"{folder}/event.json"
            self.assertEqual(call("event", BUCKET=self.cloud.outputs["BucketName"], KEY=key, OUT=event)[0], 0)
            code, output = call("sam", MODE="account", EVENT=event)
        self.assertEqual(code, 0, output)
        (release,) = result_in(output)["releases"]
        self.assertEqual((release["outcome"], release["versionId"]), ("adopted", version), output)

    def test_a_failed_release_is_reported_with_its_error(self):
        settings = self.settings | {"SIGNING_PROFILE": "unknown_profile"}
        result, log = runners.by_sam(self.event("ota:thing-group=lab"), settings)
        self.assertEqual(result["errorType"], "ReleaseFailed", log)
        self.assertIn("unknown_profile", result["errorMessage"])
        with self.assertRaises(Failed), redirect_stdout(StringIO()) as output:
            replay.report(result, log)
        self.assertIn("unknown_profile", output.getvalue())


class Output(unittest.TestCase):
    def test_the_output_has_the_requests_and_only_the_log_of_the_function(self):
        # A line of the log would be lost only in some of the runs.
        for _ in range(20):
            code, output = call("sam", EVENT=PUT)
            self.assertEqual(code, 0, output)
            (release,) = result_in(output)["releases"]
            self.assertEqual(release["createJob"]["timeoutConfig"], {"inProgressTimeoutInMinutes": 10})
            log = output.partition("\nLog\n")[2]
            self.assertNotIn("Mounting", log)
            self.assertRegex(log, r"^    START RequestId: .*\n    INFO  .*\n        outcome +dry-run\n")

    def test_an_image_that_cannot_be_pulled_is_named(self):
        missing = "localhost:1/no/such:image"
        with mock.patch.object(engine, "base_image", return_value=missing), self.assertRaises(Failed) as failed:
            engine.start()
        self.assertIn(f"the image {missing} cannot be pulled: ", str(failed.exception))
        self.assertIn("`make invoke-cargo`", str(failed.exception))


def main():
    global client
    client = engine.start()
    # Nothing else may build here during the tests that run the function without `make invoke`.
    with built("sam build"):
        pass
    return not unittest.main(verbosity=2, exit=False).result.wasSuccessful()


if __name__ == "__main__":
    run(main)
