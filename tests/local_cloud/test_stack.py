"""Tests releases of the deployed stack, from uploads to jobs, with only the permissions of its role.

Also tests the memory and the time of the deployed binary.
"""

import base64
import io
import json
import os
import subprocess
import tempfile
import time
import unittest
import urllib.request
import zipfile
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import urlencode

import boto3
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa

from cloud import (
    ACCOUNT,
    CERTIFICATE_ON_DEVICE,
    PROFILE_TO_COME,
    REGION,
    SIGNING_PROFILE,
    THINGS,
    Cloud,
    device,
    presigned,
    publish,
)
from test_replay import call, result_in
from torture import survive_kill

from operate import redrive
from program import ROOT, Failed, run

TAGS = "ota:thing-group=lab"
IMAGE = bytes(range(256)) * 64
ABORT = {
    "failureType": "FAILED",
    "action": "CANCEL",
    "thresholdPercentage": 20.5,
    "minNumberOfExecutedThings": 10,
}
LAB = f"arn:aws:iot:{REGION}:{ACCOUNT}:thinggroup/lab"


def release(key, tags=TAGS, image=IMAGE):
    """Uploads an image, and returns the outcome."""
    return cloud.outcome(key, cloud.upload(key, image, tags))


def invoke(sample, key, version):
    """Invokes the function with a sample event for one object version; returns the release in its result."""
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

    def test_all_other_tags_reach_the_job(self):
        tags = {
            "ota:thing": "lab-device-1 lab-device-2",
            "ota:start": "2027-03-01 02:00",
            "ota:timezone": "Asia/Kolkata",
            "ota:window": "mon-fri 03:30 2h",
            "ota:target-selection": "continuous",
            "ota:package-version": "blinky:1.2.0 radio:0.9",
            "ota:signing-profile": SIGNING_PROFILE,
            "ota:job-id": "all-tags",
            "ota:file-path": "/app/blinky.bin",
            "ota:file-type": "7",
        }
        publish("blinky:1.2.0", "radio:0.9")
        outcome = self.create("firmware/all tags.bin", urlencode(tags))
        self.assertEqual(outcome["jobId"], "AFR_OTA-all-tags")
        job = iot.describe_job(jobId=outcome["jobId"])["job"]
        arn = f"arn:aws:iot:{REGION}:{ACCOUNT}"
        self.assertEqual(job["targets"], [f"{arn}:thing/lab-device-1", f"{arn}:thing/lab-device-2"])
        self.assertEqual(job["targetSelection"], "CONTINUOUS")
        window = {"startTime": "cron(0 22 ? * SUN,MON,TUE,WED,THU *)", "durationInMinutes": 120}
        self.assertEqual(job["schedulingConfig"], {"startTime": "2027-02-28T20:30", "maintenanceWindows": [window]})
        packages = [f"{arn}:package/blinky/version/1.2.0", f"{arn}:package/radio/version/0.9"]
        self.assertEqual(job["destinationPackageVersions"], packages)
        (file,) = json.loads(iot.get_job_document(jobId=outcome["jobId"])["document"])["afr_ota"]["files"]
        self.assertEqual((file["filepath"], file["fileType"]), ("/app/blinky.bin", 7))

    def test_the_image_is_streamed_and_its_signature_verifies(self):
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

    def test_a_job_template_fills_in_what_tags_leave_out(self):
        template = {
            "jobExecutionsRolloutConfig": {"maximumPerMinute": 50},
            "timeoutConfig": {"inProgressTimeoutInMinutes": 30},
            "jobExecutionsRetryConfig": {"criteriaList": [{"failureType": "FAILED", "numberOfRetries": 1}]},
            "abortConfig": {"criteriaList": [ABORT]},
        }
        iot.create_job_template(jobTemplateId="canary", description="slowly", document="{}", **template)
        outcome = self.create("firmware/canary.bin", f"{TAGS}&ota:job-template=canary&ota:retries=2")
        job = iot.describe_job(jobId=outcome["jobId"])["job"]
        members = {member: job[member] for member in template}
        retries = {"criteriaList": [{"failureType": "ALL", "numberOfRetries": 2}]}
        self.assertEqual(members, template | {"jobExecutionsRetryConfig": retries})
        self.assertIn("afr_ota", iot.get_job_document(jobId=outcome["jobId"])["document"])
        (log,) = [line for line in cloud.function_log() if "job template `canary`" in line]
        self.assertIn("time-out 30m (job template `canary`), retries 2 (`ota:retries`)", log)

    def test_devices_fetch_the_image_by_http_if_a_tag_requests_it(self):
        outcome = self.create("firmware/by http.bin", f"{TAGS}&ota:protocols=http")
        self.assertNotIn("streamId", outcome)
        ota = json.loads(iot.get_job_document(jobId=outcome["jobId"])["document"])["afr_ota"]
        (file,) = ota["files"]
        self.assertEqual((ota["protocols"], file["auth_scheme"]), (["HTTP"], "aws.s3.presigned"))
        at, image = presigned(file["update_data_url"])
        self.assertTrue(at["key"].startswith("SignedImage/"), at)
        self.assertEqual(image, IMAGE)
        cloud.verify(file["sig-sha256-ecdsa"], image)
        again = invoke("put.json", outcome["key"], outcome["versionId"])
        self.assertEqual((again["outcome"], again["jobArn"]), ("adopted", outcome["jobArn"]), again)

        both = self.create("firmware/by either.bin", f"{TAGS}&ota:protocols=mqtt+http")
        self.assertEqual(cloud.streamed(both["streamId"])[1], IMAGE)
        document = iot.get_job_document(jobId=both["jobId"])["document"]
        self.assertEqual(json.loads(document)["afr_ota"]["protocols"], ["MQTT", "HTTP"])
        self.assertTrue(device(document))

    def test_several_files_are_released_in_one_job_by_a_manifest(self):
        images = {"firmware/gateway/app 2.bin": IMAGE, "firmware/gateway/radio.bin": IMAGE[::-1]}
        uploads = [release(key, tags="", image=image) for key, image in images.items()]
        self.assertEqual([upload["reason"] for upload in uploads], ["no-tags", "no-tags"])
        options = {
            "abortConfig": {"criteriaList": [ABORT]},
            "jobExecutionsRolloutConfig": {"maximumPerMinute": 50},
            "destinationPackageVersions": [f"arn:aws:iot:{REGION}:{ACCOUNT}:package/app/version/2.0"],
        }
        files = [{"key": upload["key"], "versionId": upload["versionId"]} for upload in uploads]
        files[1] |= {"filePath": "/radio.bin", "fileId": 7, "fileType": 203}
        manifest = {"files": files, "tags": [{"Key": "team", "Value": "gateways"}], **options}
        publish("app:2.0")
        outcome = self.create("firmware/gateway/2.0.ota.json", f"{TAGS}&ota:timeout=30m", json.dumps(manifest))
        self.assertIs(outcome["verified"], True)

        job = iot.describe_job(jobId=outcome["jobId"])["job"]
        self.assertEqual({member: job[member] for member in options}, options)
        self.assertEqual(job["timeoutConfig"], {"inProgressTimeoutInMinutes": 30})
        ota = json.loads(iot.get_job_document(jobId=outcome["jobId"])["document"])["afr_ota"]
        files = [(file["fileid"], file["filepath"], file["fileType"]) for file in ota["files"]]
        self.assertEqual(files, [(0, "app_2.bin", 0), (7, "/radio.bin", 203)])
        streamed = list(cloud.streamed_files(outcome["streamId"]))
        self.assertEqual([file for file, _, _ in streamed], [0, 7])
        for file, (_, at, image), expected in zip(ota["files"], streamed, images.values(), strict=True):
            self.assertIn(f"/{file['fileid']}/", at["key"])
            self.assertEqual(image, expected)
            cloud.verify(file["sig-sha256-ecdsa"], image)
        again = invoke("manifest.json", outcome["key"], outcome["versionId"])
        self.assertEqual((again["outcome"], again["jobArn"]), ("adopted", outcome["jobArn"]), again)

    def test_a_signature_that_was_made_elsewhere_is_released(self):
        key = ec.generate_private_key(ec.SECP256R1())
        signature = base64.b64encode(key.sign(IMAGE, ec.ECDSA(hashes.SHA256()))).decode()
        # Each `+` stays unescaped, so that S3 decodes it to a space.
        signed = f"ota:signature={signature.replace('=', '%3D')}&ota:signature-algorithm=SHA256withECDSA"
        tags = f"{TAGS}&{signed}&ota:certificate=/certs/own.pem"
        self.check_unverified(self.create("firmware/signed elsewhere.bin", tags), "sig-sha256-ecdsa", signature)

    def test_a_signature_too_long_for_a_tag_is_read_from_a_file(self):
        key = rsa.generate_private_key(65537, 2048)
        signature = base64.b64encode(key.sign(IMAGE, padding.PKCS1v15(), hashes.SHA256())).decode()
        name = "firmware/rsa.bin"
        skipped = release(name, tags="")
        content = {"versionId": skipped["versionId"], "signature": signature, "signatureAlgorithm": "SHA256withRSA"}
        self.assertEqual(release(f"{name}.sig", tags="", image=json.dumps(content))["reason"], "no-tags")
        tags = {"ota:thing-group": "lab", "ota:signature": ".sig", "ota:certificate": "/certs/own.pem"}
        tag_set = {"TagSet": [{"Key": tag, "Value": value} for tag, value in tags.items()]}
        s3.put_object_tagging(Bucket=skipped["bucket"], Key=name, VersionId=skipped["versionId"], Tagging=tag_set)
        created = invoke("tagged-later.json", name, skipped["versionId"])
        self.assertEqual(created["outcome"], "created", created)
        self.check_unverified(cloud.outcomes(name, skipped["versionId"])[-1], "sig-sha256-rsa", signature)

    def check_unverified(self, outcome, algorithm, signature):
        self.assertIs(outcome["verified"], False)
        document = iot.get_job_document(jobId=outcome["jobId"])["document"]
        (file,) = json.loads(document)["afr_ota"]["files"]
        self.assertEqual((file[algorithm], file["certfile"]), (signature, "/certs/own.pem"))
        self.assertEqual(cloud.streamed(outcome["streamId"])[1], IMAGE)
        self.assertIn(signature, device(document))

    def test_an_image_with_a_signing_job_is_not_signed_again(self):
        key = "firmware/signed before.bin"
        skipped = release(key, tags="")
        bucket = skipped["bucket"]
        source = {"s3": {"bucketName": bucket, "key": key, "version": skipped["versionId"]}}
        destination = {"s3": {"bucketName": bucket, "prefix": "SignedImage/by-hand/"}}
        signer = boto3.client("signer")
        job = signer.start_signing_job(source=source, destination=destination, profileName=SIGNING_PROFILE)["jobId"]
        tags = {"ota:thing-group": "lab", "ota:signing-job": job}
        tag_set = {"TagSet": [{"Key": tag, "Value": value} for tag, value in tags.items()]}
        s3.put_object_tagging(Bucket=bucket, Key=key, VersionId=skipped["versionId"], Tagging=tag_set)
        created = invoke("tagged-later.json", key, skipped["versionId"])
        self.assertEqual(created["outcome"], "created", created)
        at, streamed = cloud.streamed(created["streamId"])
        self.assertEqual((at["key"].rpartition("/")[2], streamed), ("image", IMAGE))
        (file,) = json.loads(iot.get_job_document(jobId=created["jobId"])["document"])["afr_ota"]["files"]
        cloud.verify(file["sig-sha256-ecdsa"], streamed)

    def test_one_upload_is_one_invocation(self):
        before = cloud.invocations()
        self.create("firmware/once.bin")
        time.sleep(2)  # until objects that the function writes would cause an event
        self.assertEqual(cloud.invocations() - before, 1)

    def test_a_key_can_have_any_character(self):
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

    def test_an_image_of_16_mb_is_released(self):
        image = IMAGE * 1024
        outcome = self.create("firmware/large.bin", image=image)
        self.assertEqual(cloud.streamed(outcome["streamId"])[1], image)


class Binary(unittest.TestCase):
    def test_the_deployed_binary_needs_little_memory_and_time_for_every_event(self):
        about = boto3.client("lambda").get_function(FunctionName=cloud.outputs["FunctionName"])
        with urllib.request.urlopen(about["Code"]["Location"]) as answer:
            archive = zipfile.ZipFile(io.BytesIO(answer.read()))
        with tempfile.TemporaryDirectory() as folder:
            bootstrap = Path(archive.extract("bootstrap", folder))
            bootstrap.chmod(0o755)
            command = "cargo test --quiet --locked --features cli --test releases no_event_takes_much_memory_or_time"
            environment = os.environ | {"BOOTSTRAP": str(bootstrap)}
            result = subprocess.run(command.split(), cwd=ROOT, env=environment, capture_output=True, text=True)
        self.assertEqual(result.returncode, 0, result.stdout + result.stderr)
        self.assertIn("1 passed", result.stdout)


class NoReleases(unittest.TestCase):
    def setUp(self):
        self.before = cloud.creations()

    def tearDown(self):
        self.assertEqual(cloud.creations(), self.before, "a release created something")

    def test_invalid_tags_are_rejected_with_every_reason(self):
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

    def test_tags_added_later_start_the_release(self):
        key = "firmware/tagged later.bin"
        skipped = release(key, tags="")
        self.assertEqual(skipped["outcome"], "skipped", skipped)
        tag_set = {"TagSet": [{"Key": "ota:thing-group", "Value": "lab"}]}
        s3.put_object_tagging(Bucket=skipped["bucket"], Key=key, VersionId=skipped["versionId"], Tagging=tag_set)
        # MiniStack sends no event of added tags.
        outcome = invoke("tagged-later.json", key, skipped["versionId"])
        self.assertEqual(outcome["outcome"], "created", outcome)

    def test_a_missing_target_is_rejected_before_anything_is_created(self):
        before = cloud.creations()
        outcome = release("firmware/nowhere.bin", "ota:thing-group=lab-none&ota:package-version=blinky:9")
        self.assertEqual(outcome["outcome"], "rejected", outcome)
        for name in ("lab-none", "blinky:9"):
            self.assertIn(f"`{name}`, which does not exist", outcome["reasons"])
        self.assertEqual(cloud.creations(), before, "a release created something")

    def test_a_copy_onto_itself_is_not_released_again(self):
        first = self.create("firmware/copied.bin")
        where = {"Bucket": first["bucket"], "Key": first["key"]}
        jobs, streams, _ = cloud.creations()
        changed = {"MetadataDirective": "REPLACE", "Metadata": {"reviewed": "yes"}}
        for _ in range(2):
            copy = s3.copy_object(**where, CopySource=where, **changed)
            skipped = cloud.outcome(first["key"], copy["VersionId"])
            self.assertEqual((skipped["outcome"], skipped["reason"]), ("skipped", "unchanged"), skipped)
        self.assertEqual(cloud.creations()[:2], (jobs, streams))

    def test_a_deleted_job_is_not_created_again(self):
        first = self.create("firmware/deleted.bin")
        iot.delete_job(jobId=first["jobId"], force=True)
        before = cloud.creations()
        second = invoke("put.json", "firmware/deleted.bin", first["versionId"])
        self.assertEqual((second["outcome"], second["reason"]), ("skipped", "job-deleted"), second)
        self.assertEqual(cloud.creations()[:2], before[:2])


class Redrive(StackTest):
    def test_a_release_that_failed_after_all_retries_is_redriven(self):
        key = "firmware/redriven.bin"
        version = cloud.upload(key, IMAGE, f"{TAGS}&ota:signing-profile={PROFILE_TO_COME}")
        failed = cloud.outcome(key, version)
        self.assertEqual(failed["outcome"], "failed", failed)
        self.assertIn(PROFILE_TO_COME, failed["reason"])
        self.await_failures(1)

        signer = boto3.client("signer")
        profile = signer.get_signing_profile(profileName=SIGNING_PROFILE)
        same = {name: profile[name] for name in ("platformId", "signingMaterial", "signingParameters")}
        signer.put_signing_profile(profileName=PROFILE_TO_COME, **same)
        redrive(cloud.outputs)
        outcomes = [each["outcome"] for each in cloud.outcomes(key, version)]
        self.assertEqual(outcomes, ["failed", "failed", "failed", "created"])

    def await_failures(self, expected):
        deadline = time.monotonic() + 60
        while cloud.failures() != expected and time.monotonic() < deadline:
            time.sleep(0.2)
        self.assertEqual(cloud.failures(), expected)


class Kills(StackTest):
    def test_a_function_that_is_killed_midway_still_creates_one_job(self):
        for when, operation in [
            ("after", "StartSigningJob"),
            ("after", "CreateStream"),
            ("before", "CreateJob"),
            ("after", "CreateJob"),
        ]:
            with self.subTest(f"{when} {operation}"):
                self.assertEqual(survive_kill(cloud, when, operation, 0), 2)


class Replays(StackTest):
    def test_a_replay_with_the_deployed_settings_releases_only_on_request(self):
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
            self.assertEqual(cloud.creations(), before, "a release created something")

            code, output = call("cargo", EVENT=event, MODE="account", RELEASE="yes")
            self.assertEqual(code, 0, output)
            (made,) = result_in(output)["releases"]
            self.assertEqual((made["outcome"], made["jobId"]), ("created", checked["jobId"]), made)

            code, output = call("cargo", EVENT=event, MODE="account", STACK="missing")
            self.assertEqual(code, 1, output)
            self.assertIn("✗ the stack missing does not exist in us-east-1: name another with STACK=…", output)


def main():
    global cloud, iot, s3
    with Cloud() as cloud:
        iot, s3 = boto3.client("iot"), boto3.client("s3")
        cloud.with_stack(AllowUnverified="true", AllowedSigningProfiles=PROFILE_TO_COME)
        return not unittest.main(verbosity=2, exit=False).result.wasSuccessful()


if __name__ == "__main__":
    run(main)
