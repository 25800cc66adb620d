"""The deployed stack, from uploads to jobs: deployed once, as it is, and with no more rights than its role has."""

import json
import tempfile
import time
import unittest
from datetime import UTC, datetime, timedelta

import boto3

from alive import step
from cloud import ACCOUNT, CERTIFICATE_ON_DEVICE, REGION, THINGS, Cloud, Failed, device, run, sam
from test_replay import call, result_in
from torture import survive_kill

TAGS = "ota:thing-group=lab"
IMAGE = bytes(range(256)) * 64
LAB = f"arn:aws:iot:{REGION}:{ACCOUNT}:thinggroup/lab"


def release(key, tags=TAGS, image=IMAGE):
    """Uploads, and waits for what it came to."""
    return cloud.outcome(key, cloud.upload(key, image, tags))


def invoke(sample, key, version):
    """Calls the function with a sample event, told of one object version; returns the release it answers with."""
    event = cloud.notification(key, version, sample)
    answer = boto3.client("lambda").invoke(FunctionName=cloud.outputs["FunctionName"], Payload=event)
    result = json.load(answer["Payload"])
    if "FunctionError" in answer:
        raise Failed(f"the function failed: {result}")
    (release,) = result["releases"]
    return release


class StackTest(unittest.TestCase):
    def create(self, key, tags=TAGS, image=IMAGE):
        outcome = release(key, tags, image)
        self.assertEqual(outcome["outcome"], "created", outcome)
        return outcome


class Releases(StackTest):
    def test_an_upload_becomes_a_scheduled_retrying_job_for_its_group(self):
        before = datetime.now(UTC).replace(second=0, microsecond=0)
        tags = f"{TAGS}&ota:start=45m&ota:end=2h&ota:end-behavior=force-cancel&ota:retries=failed:2&ota:timeout=30m"
        outcome = self.create("firmware/scheduled.bin", tags)

        job = iot.describe_job(jobId=outcome["jobId"])["job"]
        self.assertEqual(job["jobArn"], outcome["jobArn"])
        self.assertEqual(job["targets"], [LAB])
        self.assertEqual(job["targetSelection"], "SNAPSHOT")
        self.assertEqual(job["timeoutConfig"], {"inProgressTimeoutInMinutes": 30})
        retries = job["jobExecutionsRetryConfig"]["criteriaList"]
        self.assertEqual(retries, [{"failureType": "FAILED", "numberOfRetries": 2}])
        schedule = job["schedulingConfig"]
        start, end = (datetime.fromisoformat(f"{schedule[time]}Z") for time in ("startTime", "endTime"))
        self.assertLessEqual(timedelta(minutes=45), start - before)
        self.assertLessEqual(start - before, timedelta(minutes=47))
        self.assertEqual(end - start, timedelta(hours=2))
        self.assertEqual(schedule["endBehavior"], "FORCE_CANCEL")

        executions = iot.list_job_executions_for_job(jobId=outcome["jobId"])["executionSummaries"]
        waiting = {(e["thingArn"].rpartition("/")[2], e["jobExecutionSummary"]["status"]) for e in executions}
        self.assertEqual(waiting, {(thing, "QUEUED") for thing in THINGS})

    def test_what_is_streamed_is_the_image_and_its_signature_verifies(self):
        outcome = self.create("firmware/signed.bin")
        at, streamed = cloud.streamed(outcome["streamId"])
        self.assertTrue(at["key"].startswith("SignedImage/"), at)
        self.assertEqual(streamed, IMAGE)

        document = iot.get_job_document(jobId=outcome["jobId"])["document"]
        ota = json.loads(document)["afr_ota"]
        (file,) = ota["files"]
        self.assertEqual(ota["streamname"], outcome["streamId"])
        self.assertEqual((file["filepath"], file["filesize"]), ("signed.bin", len(IMAGE)))
        self.assertEqual(file["certfile"], CERTIFICATE_ON_DEVICE)
        self.assertIs(outcome["verified"], True)
        cloud.verify(file["sig-sha256-ecdsa"], streamed)
        with self.assertRaises(Failed):
            cloud.verify(file["sig-sha256-ecdsa"], streamed[:-1] + b"?")
        self.assertIn(file["sig-sha256-ecdsa"], device(document))

    def test_a_job_template_says_what_the_tags_leave_open(self):
        template = {
            "jobExecutionsRolloutConfig": {"maximumPerMinute": 50},
            "timeoutConfig": {"inProgressTimeoutInMinutes": 30},
            "jobExecutionsRetryConfig": {"criteriaList": [{"failureType": "FAILED", "numberOfRetries": 1}]},
            "abortConfig": {
                "criteriaList": [
                    {
                        "failureType": "FAILED",
                        "action": "CANCEL",
                        "thresholdPercentage": 20.5,
                        "minNumberOfExecutedThings": 10,
                    }
                ]
            },
        }
        iot.create_job_template(jobTemplateId="canary", description="slowly", document="{}", **template)
        outcome = self.create("firmware/canary.bin", f"{TAGS}&ota:job-template=canary&ota:retries=2")
        job = iot.describe_job(jobId=outcome["jobId"])["job"]
        said = {member: job[member] for member in template}
        retries = {"criteriaList": [{"failureType": "ALL", "numberOfRetries": 2}]}
        self.assertEqual(said, template | {"jobExecutionsRetryConfig": retries})
        self.assertIn("afr_ota", iot.get_job_document(jobId=outcome["jobId"])["document"])
        (log,) = [line for line in cloud.function_log() if "job template `canary`" in line]
        self.assertIn("time-out 30m (job template `canary`), retries 2 (`ota:retries`)", log)

    def test_one_upload_is_one_invocation(self):
        before = cloud.invocations()
        self.create("firmware/once.bin")
        time.sleep(2)  # what the function itself writes would be notified by now
        self.assertEqual(cloud.invocations() - before, 1)

    def test_a_key_may_have_any_character(self):
        for name in (
            "two words.bin",
            "a+b.bin",
            "100%.bin",
            "%2B+%20.bin",
            "Gerät für Köln.bin",
            "📦 v1.bin",
            "a=b&c.bin",
        ):
            with self.subTest(name):
                outcome = self.create(f"firmware/sub dir/{name}")
                self.assertEqual(cloud.streamed(outcome["streamId"])[1], IMAGE)
                self.assertTrue(device(iot.get_job_document(jobId=outcome["jobId"])["document"]))

    def test_an_image_may_have_16_mb(self):
        image = IMAGE * 1024
        outcome = self.create("firmware/large.bin", image=image)
        self.assertEqual(cloud.streamed(outcome["streamId"])[1], image)


class NoReleases(unittest.TestCase):
    def setUp(self):
        self.before = cloud.creations()

    def tearDown(self):
        self.assertEqual(cloud.creations(), self.before, "something was created")

    def test_bad_tags_are_rejected_with_every_reason(self):
        outcome = release("firmware/bad.bin", f"{TAGS}&ota:retries=lots&ota:timeout=9d&ota:strat=now")
        self.assertEqual(outcome["outcome"], "rejected", outcome)
        for word in ("`ota:retries`", "`lots`", "`ota:timeout`", "`9d`", "`ota:strat`", "`ota:start`"):
            self.assertIn(word, outcome["reasons"])

    def test_a_thing_group_that_is_not_allowed_is_rejected(self):
        iot.create_thing_group(thingGroupName="production")
        outcome = release("firmware/foreign.bin", "ota:thing-group=production")
        self.assertEqual(outcome["outcome"], "rejected", outcome)
        self.assertIn("`production`", outcome["reasons"])

    def test_an_upload_without_tags_is_skipped(self):
        outcome = release("firmware/untagged.bin", tags="team=blue")
        self.assertEqual((outcome["outcome"], outcome["reason"]), ("skipped", "no-tags"), outcome)


class LaterEvents(StackTest):
    def test_a_second_delivery_adopts_the_job(self):
        first = self.create("firmware/twice.bin")
        before = cloud.creations()
        second = invoke("put.json", "firmware/twice.bin", first["versionId"])
        self.assertEqual((second["outcome"], second["jobArn"]), ("adopted", first["jobArn"]), second)
        self.assertEqual(cloud.creations()[:2], before[:2])

    def test_tags_put_on_later_start_the_release(self):
        key = "firmware/tagged later.bin"
        skipped = release(key, tags="")
        self.assertEqual(skipped["outcome"], "skipped", skipped)
        tag_set = {"TagSet": [{"Key": "ota:thing-group", "Value": "lab"}]}
        s3.put_object_tagging(Bucket=skipped["bucket"], Key=key, VersionId=skipped["versionId"], Tagging=tag_set)
        # MiniStack raises no event for it.
        outcome = invoke("tagged-later.json", key, skipped["versionId"])
        self.assertEqual(outcome["outcome"], "created", outcome)

    def test_a_job_that_was_deleted_is_not_made_again(self):
        first = self.create("firmware/deleted.bin")
        iot.delete_job(jobId=first["jobId"], force=True)
        before = cloud.creations()
        second = invoke("put.json", "firmware/deleted.bin", first["versionId"])
        self.assertEqual((second["outcome"], second["reason"]), ("skipped", "job-deleted"), second)
        self.assertEqual(cloud.creations()[:2], before[:2])


class Redrive(StackTest):
    def test_a_release_that_failed_for_good_is_redriven_from_the_failure_queue(self):
        key = "firmware/redriven.bin"
        version = cloud.upload(key, IMAGE, "ota:thing-group=lab-to-come")
        failed = cloud.outcome(key, version)
        self.assertEqual(failed["outcome"], "failed", failed)
        self.assertIn("lab-to-come", failed["reason"])
        self.await_failures(1)

        iot.create_thing_group(thingGroupName="lab-to-come")
        cloud.redrive()
        outcomes = [each["outcome"] for each in cloud.outcomes(key, version)]
        self.assertEqual(outcomes, ["failed", "failed", "failed", "created"])

    def await_failures(self, expected):
        deadline = time.monotonic() + 60
        while cloud.failures() != expected and time.monotonic() < deadline:
            time.sleep(0.2)
        self.assertEqual(cloud.failures(), expected)


class Kills(StackTest):
    def test_a_function_that_is_killed_midway_still_comes_to_one_job(self):
        for when, operation in [
            ("after", "StartSigningJob"),
            ("after", "CreateStream"),
            ("before", "CreateJob"),
            ("after", "CreateJob"),
        ]:
            with self.subTest(f"{when} {operation}"):
                self.assertEqual(survive_kill(cloud, when, operation, 0), 2)


class Replays(StackTest):
    def test_a_replay_with_the_deployed_settings_checks_and_releases_only_when_told_to(self):
        key = "firmware/replayed.bin"
        skipped = release(key, tags="")
        self.assertEqual(skipped["outcome"], "skipped", skipped)
        tag_set = {"TagSet": [{"Key": "ota:thing-group", "Value": "lab"}]}
        s3.put_object_tagging(Bucket=skipped["bucket"], Key=key, Tagging=tag_set)
        with tempfile.TemporaryDirectory() as folder:
            event = f"{folder}/event.json"
            self.assertEqual(call("event", BUCKET=skipped["bucket"], KEY=key, OUT=event)[0], 0)

            before = cloud.creations()
            code, output = call("cargo", EVENT=event, MODE="account")
            self.assertEqual(code, 0, output)
            (checked,) = result_in(output)["releases"]
            self.assertEqual((checked["outcome"], checked["createJob"]["targets"]), ("dry-run", [LAB]), checked)
            self.assertEqual(checked["createStream"]["roleArn"], cloud.outputs["OtaRoleArn"])
            self.assertEqual(cloud.creations(), before, "something was created")

            code, output = call("cargo", EVENT=event, MODE="account", RELEASE="yes")
            self.assertEqual(code, 0, output)
            (made,) = result_in(output)["releases"]
            self.assertEqual((made["outcome"], made["jobId"]), ("created", checked["jobId"]), made)

            code, output = call("cargo", EVENT=event, MODE="account", STACK="of-nobody")
            self.assertEqual(code, 1, output)
            self.assertIn("✗ the settings of the deployed stack cannot be read: ", output)


def main():
    global cloud, iot, s3
    with Cloud() as cloud:
        iot, s3 = boto3.client("iot"), boto3.client("s3")
        with step("provision the account"):
            cloud.provision()
        with step("sam build"):
            sam("build")
        with step("sam deploy"):
            cloud.deploy()
        return not unittest.main(verbosity=2, exit=False).result.wasSuccessful()


if __name__ == "__main__":
    run(main)
