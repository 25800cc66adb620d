"""Tests the program `ota` as people and pipelines use it: on a terminal and through pipes, on a deployed stack."""

import hashlib
import json
import os
import pty
import re
import select
import subprocess
import tempfile
import time
import tomllib
import unittest
import uuid
from pathlib import Path

from cloud import PROFILE_TO_COME, SIGNING_PROFILE, THINGS, Cloud

from program import ROOT, TARGET, run
from stack import client

OTA = TARGET / "debug/ota"
IMAGE = bytes(range(256)) * 64
ONE, TWO, THREE = THINGS
DETAILS = {"reason": "0xEEEEEEEE: 0xffffffff"}
BAR = "█"
# Without those of the policies of the stack.
READ_RELEASES = [
    "cloudformation:DescribeStacks",
    "s3:GetObject",
    "s3:ListBucket",
    "iot:DescribeJob",
    "iot:GetJobDocument",
]
UPLOADER, OPERATOR = "UploaderPolicyArn", "OperatorPolicyArn"


def environment(**changes):
    variables = os.environ | {"TZ": "UTC", "AWS_EC2_METADATA_DISABLED": "true"} | changes
    return {name: value for name, value in variables.items() if value is not None}


def ota(*arguments, typed=None, **changes):
    """Runs `ota` with pipes; returns its exit code, its output, and its messages."""
    source = {"input": typed} if typed is not None else {"stdin": subprocess.DEVNULL}
    answer = subprocess.run([OTA, *arguments], capture_output=True, text=True, env=environment(**changes), **source)
    return answer.returncode, answer.stdout, answer.stderr


def on_terminal(*arguments, typed="", **changes):
    """Runs `ota` on a terminal on which a user types; returns its exit code and all text on the terminal."""
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [OTA, *arguments], stdin=theirs, stdout=theirs, stderr=theirs, env=environment(TERM="xterm", **changes)
    )
    os.close(theirs)
    os.write(ours, typed.encode())
    text = b""
    while True:
        select.select([ours], [], [], 60)
        try:
            read = os.read(ours, 65536)
        except OSError:
            break
        if not read:
            break
        text += read
    os.close(ours)
    return process.wait(60), text.decode()


def report(job_id, thing, *statuses, details=None):
    """Reports the status of a device's execution, as the device does."""
    for status in statuses:
        more = {"statusDetails": details} if details and status == statuses[-1] else {}
        client("iot-jobs-data").update_job_execution(jobId=job_id, thingName=thing, status=status, **more)


def succeed(job_id, *things):
    for thing in things:
        report(job_id, thing, "IN_PROGRESS", "SUCCEEDED")


class OtaTest(unittest.TestCase):
    maxDiff = None

    def succeeds(self, *arguments, **options):
        code, output, messages = ota(*arguments, **options)
        self.assertEqual(code, 0, output + messages)
        return output

    def refuses(self, code, *arguments, **options):
        """Returns the only problem that a command reports."""
        actual, output, messages = ota(*arguments, **options)
        self.assertEqual(actual, code, output + messages)
        problems = [line for line in messages.splitlines() if line.startswith("✗ ")]
        self.assertEqual(len(problems), 1, messages)
        self.assertEqual(messages.splitlines()[-1], problems[0])
        return problems[0]

    def release(self, name, *options, to="lab"):
        """Uploads an image and waits; returns the JSON."""
        return json.loads(
            self.succeeds("upload", image(name), "--to", to, "--start", "now", "--wait", "--json", *options)
        )


def image(name, content=None):
    """Writes an image of its own into a file; returns its path."""
    path = Path(scratch, name)
    path.write_bytes(uuid.uuid4().bytes + IMAGE if content is None else content)
    return str(path)


class Checks(OtaTest):
    def test_an_accepted_file_has_its_request(self):
        path = image("check.bin")
        request = json.loads(self.succeeds("check", path, "--to", "lab", "--start", "2h", "--retries", "2"))
        self.assertTrue(request["targets"][0].endswith(":thinggroup/lab"), request)
        self.assertEqual(request["jobId"], "AFR_OTA-check-bin-<from S3>")
        self.assertEqual(request["jobExecutionsRetryConfig"]["criteriaList"][0]["numberOfRetries"], 2)
        code, output, _ = ota("check", path, "--to", "lab", "--json")
        self.assertEqual((code, json.loads(output)["outcome"]), (0, "dry-run"))

    def test_every_problem_is_reported(self):
        code, output, messages = ota(
            "check", image("bad.bin"), "--to", "fleet", "--start", "soon", "--tag", "ota:retires=3"
        )
        self.assertEqual((code, output), (3, ""), messages)
        self.assertEqual(messages.count("✗ tag "), 3, messages)
        self.assertIn("did you mean `ota:retries`", messages)

    def test_warnings_of_the_function_are_shown(self):
        options = ["--to", "lab", "--end", "1h", "--timeout", "2h"]
        code, _, messages = ota("check", image("warning.bin"), *options)
        self.assertEqual(code, 0, messages)
        self.assertRegex(messages, "(?m)^! 4 tries of 2h each do not fit")

    def test_a_target_that_does_not_exist_is_reported(self):
        problem = self.refuses(3, "check", image("target.bin"), "--to", "lab-none", "--to-thing", ONE)
        self.assertIn("the thing group `lab-none` does not exist", problem)
        code, output, _ = ota("check", image("target.bin"), "--to", "lab-none", "--json")
        checked = json.loads(output)
        self.assertEqual((code, checked["outcome"], checked["key"]), (3, "rejected", "firmware/target.bin"))
        self.assertEqual([problem.removeprefix("✗ ")], checked["reasons"])

    def test_offline_checks_need_nothing_of_aws(self):
        nothing = dict.fromkeys(["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_REGION", "AWS_DEFAULT_REGION"])
        path = image("offline.bin")
        output = self.succeeds(
            "check", path, "--offline", "--to", "any", AWS_ENDPOINT_URL="http://127.0.0.1:9", **nothing
        )
        self.assertIn("AFR_OTA-offline-bin-", output)

    def test_groups_are_listed_by_folder(self):
        output = self.succeeds("groups")
        self.assertRegex(output, rf"s3://{cloud.outputs['BucketName']}/firmware/ +lab, lab-\* +lab-\*\n")
        self.assertIn(f"signing profiles: {SIGNING_PROFILE}, {PROFILE_TO_COME} ", output)
        self.assertEqual(json.loads(self.succeeds("groups", "--json"))["signingProfiles"][0], SIGNING_PROFILE)


class Uploads(OtaTest):
    def test_an_upload_becomes_a_job(self):
        code, text = on_terminal("upload", image("created.bin"), "--to", "lab", "--start", "now", "--wait")
        self.assertEqual(code, 0, text)
        job_id = re.search(r"job +(AFR_OTA-created-bin-[0-9a-f]{12})\r\n", text)[1]
        self.assertRegex(text, rf"job ARN +arn:aws:iot:\S+:job/{job_id}\r\n")
        self.assertEqual(client("iot").describe_job(jobId=job_id)["job"]["status"], "IN_PROGRESS")

    def test_output_in_a_pipe_has_neither_colors_nor_bars(self):
        code, output, messages = ota("upload", image("pipe.bin"), "--to", "lab", "--start", "now")
        self.assertEqual(code, 0, messages)
        self.assertRegex(output, r"^object version  s3://\S+/firmware/pipe.bin\?versionId=\S+\n$")
        self.assertNotRegex(output + messages, f"\x1b|{BAR}")
        code, text = on_terminal("upload", image("plain.bin"), "--to", "lab", "--start", "now", NO_COLOR="1")
        self.assertEqual(code, 0, text)
        self.assertNotRegex(text, "\x1b\\[[0-9;]*m")
        code, text = on_terminal("upload", image("color.bin"), "--to", "lab", "--start", "now")
        self.assertEqual(code, 0, text)
        self.assertIn("\x1b[32m✓", text)
        self.assertIn(" for lab (3 devices); the job starts at once", text)
        code, output, messages = ota("groups", "--stack", "none", CLICOLOR_FORCE="1")
        self.assertNotIn("\x1b", messages)

    def test_nothing_is_uploaded_that_would_be_rejected(self):
        code, output, messages = ota("upload", image("never.bin"), "--to", "fleet", "--wait", "--json")
        self.assertEqual((code, json.loads(output)["outcome"]), (3, "rejected"), messages)
        self.assertIn("nothing was uploaded", messages)
        self.assertEqual(versions("firmware/never.bin"), [])

    def test_a_rejection_is_reported_with_its_reasons(self):
        # Only the function looks up templates.
        code, output, messages = ota(
            "upload", image("rejected.bin"), "--to", "lab", "--job-template", "missing", "--wait", "--json"
        )
        self.assertEqual(code, 3, messages)
        rejected = json.loads(output)
        self.assertEqual(rejected["outcome"], "rejected")
        self.assertIn("`missing`", rejected["reasons"][0])
        self.assertRegex(messages, "✗ rejected: .*`missing`")

    def test_a_failure_is_reported_once_lambda_gives_up(self):
        command = ["upload", image("fails-often.bin"), "--to", "lab", "--signing-profile", PROFILE_TO_COME, "--wait"]
        code, output, messages = ota(*command)
        self.assertEqual(code, 1, messages)
        self.assertRegex(output, r"\noutcome +failed\n")
        self.assertRegex(messages, f"✗ failed 3 times; an operator must act: .*{PROFILE_TO_COME}")

    def test_a_superseded_upload_is_skipped(self):
        # The profile does not exist yet, so Lambda retries until the upload is superseded. Lambda gives up soon: on a
        # busy machine, the newer version can be too late.
        for attempt in range(5):
            code, outcome, messages = self.superseded(f"superseded-{attempt}.bin")
            self.assertEqual(code, 1, messages)
            if outcome["outcome"] != "failed":
                break
        self.assertEqual((outcome["outcome"], outcome["reason"]), ("skipped", "superseded"), messages)
        self.assertIn("✗ skipped: superseded", messages)

    def superseded(self, name):
        command = [OTA, "upload", image(name), "--to", "lab", "--signing-profile", PROFILE_TO_COME, "--wait", "--json"]
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True, "env": environment()}
        with subprocess.Popen(command, **pipes) as process:
            while not versions(f"firmware/{name}") and process.poll() is None:
                time.sleep(0.02)
            cloud.upload(f"firmware/{name}", b"newer")
            output, messages = process.communicate(timeout=60)
        return process.returncode, json.loads(output), messages

    def test_the_same_upload_again_needs_consent(self):
        path = image("twice.bin")
        command = ["upload", path, "--to", "lab", "--start", "now"]
        self.release("twice.bin")
        Path(path).write_bytes(cloud_bytes("firmware/twice.bin"))
        self.assertIn("add `--yes`", self.refuses(2, *command))
        code, text = on_terminal(*command, typed="n\n")
        self.assertEqual(code, 1, text)
        self.assertIn("released already, as `AFR_OTA-twice-bin-", text)
        self.assertEqual(len(versions("firmware/twice.bin")), 1)
        code, text = on_terminal(*command, typed="y\n")
        self.assertEqual(code, 0, text)
        self.assertEqual(len(versions("firmware/twice.bin")), 2)


class Rollouts(OtaTest):
    def test_a_rollout_succeeds(self):
        release = self.release("succeeds.bin")
        job_id = release["jobId"]
        watch = [OTA, "watch", job_id]
        with subprocess.Popen(
            watch, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment()
        ) as process:
            succeed(job_id, ONE)
            half = ["watch", release["jobArn"], "--until", "succeeded=33%"]
            self.assertRegex(self.succeeds(*half), rf"{job_id} IN_PROGRESS: 1 succeeded, 2 queued\n")
            succeed(job_id, TWO, THREE)
            output, messages = process.communicate(timeout=30)
        self.assertEqual((process.returncode, output), (0, f"{job_id} COMPLETED: 3 succeeded\n"), messages)
        self.assertIn("Z  COMPLETED: 3 succeeded\n✓ the rollout is over, and all devices succeeded\n", messages)

    def test_devices_fail_with_details(self):
        job_id = self.release("fails.bin", "--retries", "0")["jobId"]
        report(job_id, ONE, "IN_PROGRESS", "FAILED", details=DETAILS)
        report(job_id, TWO, "REJECTED", details={"reason": "too old"})
        problem = self.refuses(4, "watch", job_id, "--until", "succeeded=100%")
        self.assertIn("2 devices did not succeed: the number of `--until` cannot be reached any more", problem)
        succeed(job_id, THREE)
        output = self.succeeds("devices", job_id)
        self.assertRegex(output, rf"{ONE} +FAILED +0 ")
        self.assertRegex(output, rf"1 +FAILED +{ONE} +reason=0xEEEEEEEE: 0xffffffff\n")
        self.assertRegex(output, rf"1 +REJECTED +{TWO} +reason=too old\n")
        only = json.loads(self.succeeds("devices", job_id, "--status", "FAILED", "--json"))
        (execution,) = only["executionSummaries"]
        self.assertEqual(execution["statusDetails"]["detailsMap"], DETAILS)
        self.assertIn("2 devices did not succeed", self.refuses(4, "watch", job_id))
        code, text = on_terminal("watch", job_id)
        self.assertEqual(code, 4, text)

    def test_the_time_to_wait_ends(self):
        job_id = self.release("waits.bin")["jobId"]
        self.assertIn("the time to wait is over", self.refuses(6, "watch", job_id, "--timeout", "0m"))
        code, text = on_terminal("watch", job_id, "--timeout", "0m")
        self.assertEqual(code, 6, text)
        self.assertRegex(text, "░+ IN_PROGRESS: 3 queued")

    def test_a_continuous_job_needs_a_condition(self):
        job_id = self.release("continuous.bin", "--continuous")["jobId"]
        self.assertIn("add `--until succeeded=95%` or", self.refuses(2, "watch", job_id))

    def test_a_release_has_many_names(self):
        release = self.release("names.bin")
        bucket, version = release["bucket"], release["versionId"]
        names = ["jobId", "jobArn", "streamId"]
        url = f"s3://{bucket}/firmware/names.bin"
        for name in [*(release[name] for name in names), url, f"{url}?versionId={version}", "names.bin"]:
            shown = json.loads(self.succeeds("show", name, "--json"))
            self.assertEqual(shown["job"]["jobId"], release["jobId"])
            self.assertEqual(shown["record"]["tags"], {"ota:start": "now", "ota:thing-group": "lab"})
            self.assertNotIn("nonce", shown["record"])
        text = self.succeeds("show", release["jobId"])
        for fact in [
            "upload",
            "tags",
            "signature verified  yes",
            "status",
            "targets             lab",
            "stream",
            "console",
        ]:
            self.assertIn(f"\n{fact}", f"\n{text}")

    def test_the_newest_version_of_a_key_is_never_confused_with_the_one_before(self):
        release = self.release("newer.bin")
        older = f"s3://{release['bucket']}/firmware/newer.bin?versionId={release['versionId']}"
        cloud.upload("firmware/newer.bin", b"without tags")
        for command in (["watch"], ["cancel", "--yes"]):
            problem = self.refuses(2, *command, "newer.bin")
            self.assertIn("the newest version of `firmware/newer.bin` has no job", problem)
            self.assertIn(older, problem)
        self.succeeds("cancel", older, "--yes")

    def test_a_key_can_look_like_another_name(self):
        for name in ("AFR_OTA-key", "a b+c%20ü#.bin", "key?versionId=1.bin"):
            release = self.release(name, f"--key=firmware/{name}")
            for named in (name, f"firmware/{name}", f"s3://{release['bucket']}/firmware/{name}"):
                shown = json.loads(self.succeeds("show", named, "--json"))
                self.assertEqual(shown["job"]["jobId"], release["jobId"], named)

    def test_a_manifest_with_its_own_description_is_a_release_of_the_stack(self):
        file = cloud.upload("firmware/app.bin", IMAGE)
        manifest = {"files": [{"key": "firmware/app.bin", "versionId": file}], "description": "Gateway 2.1.0"}
        release = self.release_of("described.ota.json", json.dumps(manifest).encode())
        shown = json.loads(self.succeeds("show", release["jobId"], "--json"))
        self.assertTrue(shown["job"]["description"].startswith("Gateway 2.1.0 (release "), shown)
        self.assertEqual(shown["job"]["key"], "firmware/described.ota.json")

    def release_of(self, name, content):
        path = image(name, content)
        return json.loads(self.succeeds("upload", path, "--to", "lab", "--start", "now", "--wait", "--json"))

    def test_releases_are_listed_and_filtered(self):
        old, new = self.release("list-1.bin")["jobId"], self.release("list-2.bin")["jobId"]
        jobs = json.loads(self.succeeds("list", "--key", "firmware/list-", "--group", "lab", "--json"))["jobs"]
        self.assertEqual({job["jobId"] for job in jobs}, {old, new})
        table = self.succeeds("list", "--key", "list-2", "--status", "IN_PROGRESS", "--since", "1h")
        self.assertEqual(table.count("\n"), 2, table)
        self.assertRegex(table, rf"{new} +IN_PROGRESS +3 queued +lab +at once")
        self.assertEqual(json.loads(self.succeeds("list", "--status", "scheduled", "--json"))["jobs"], [])


class Endings(OtaTest):
    def test_a_job_is_canceled_and_deleted(self):
        release = self.release("ends.bin")
        job_id, stream_id = release["jobId"], release["streamId"]
        report(job_id, ONE, "IN_PROGRESS")
        succeed(job_id, TWO)
        self.assertIn(
            "is IN_PROGRESS (1 succeeded, 1 in progress, 1 queued)", self.refuses(1, "delete", job_id, "--yes")
        )
        self.assertIn("add `--yes`", self.refuses(2, "cancel", job_id))
        code, text = on_terminal("cancel", job_id, typed="\n")
        self.assertEqual(code, 1, text)
        self.assertIn("1 device queued: will not get the job", text)
        self.assertIn("1 device at work: may finish", text)
        code, text = on_terminal("cancel", job_id, "--comment", "wrong image", typed="yes\n")
        self.assertEqual(code, 0, text)
        job = client("iot").describe_job(jobId=job_id)["job"]
        self.assertEqual((job["status"], job["comment"]), ("CANCELED", "wrong image"))
        self.assertIn(" CANCELED: ", self.succeeds("cancel", job_id))

        self.assertIn("has 1 device that may still fetch the image", self.refuses(1, "delete", job_id, "--yes"))
        report(job_id, ONE, "SUCCEEDED")
        self.assertIn("wrong image", self.refuses(5, "watch", job_id))
        record = self.hide_receipt(release)
        self.assertIn(f"the job `{job_id}` is not this stack's", self.refuses(1, "delete", job_id, "--yes"))
        client("s3").delete_object(**record)
        code, text = on_terminal("delete", job_id, typed="y\n")
        self.assertEqual(code, 0, text)
        self.assertLess(text.index(f"deletes the stream `{stream_id}`"), text.index(f"deletes the job `{job_id}`"))
        for list_all, member, name in [("list_jobs", "jobs", job_id), ("list_streams", "streams", stream_id)]:
            found = json.dumps(getattr(client("iot"), list_all)()[member], default=str)
            self.assertNotIn(name, found)
        for name in [job_id, stream_id, "ends.bin"]:
            self.assertEqual(self.succeeds("delete", name), "")
        self.assertIn(f"the job `{job_id}` was deleted", self.refuses(1, "watch", job_id))
        self.assertRegex(self.succeeds("show", job_id), f"\njob +{job_id}, which was deleted\n")

    def hide_receipt(self, release):
        """Deletes the receipt of a release; returns the delete marker that hides it."""
        bucket = release["bucket"]
        keys = client("s3").get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix="SignedImage/")
        (key,) = [
            key
            for key in keys.search("Contents[].Key")
            if key.endswith("/release.json")
            and release["jobId"] in client("s3").get_object(Bucket=bucket, Key=key)["Body"].read().decode()
        ]
        marker = client("s3").delete_object(Bucket=bucket, Key=key)["VersionId"]
        return {"Bucket": bucket, "Key": key, "VersionId": marker}

    def test_force_cancels_devices_at_work(self):
        job_id = self.release("force.bin")["jobId"]
        report(job_id, ONE, "IN_PROGRESS")
        code, output, messages = ota("cancel", job_id, "--force", "--yes")
        self.assertEqual((code, output), (0, f"{job_id} CANCELED: 3 canceled\n"), messages)
        self.assertIn("can no longer report the result", messages)
        self.assertIn("the job was canceled", self.refuses(5, "watch", job_id))

    def test_a_completed_job_cannot_be_canceled(self):
        job_id = self.release("complete.bin")["jobId"]
        succeed(job_id, *THINGS)
        self.assertIn("is COMPLETED: there is nothing to cancel", self.refuses(1, "cancel", job_id, "--yes"))
        self.succeeds("delete", job_id, "--yes")

    def test_a_job_of_others_is_never_touched(self):
        target = client("iot").describe_thing(thingName=ONE)["thingArn"]
        own = client("iot").describe_job(jobId=self.release("copied.bin")["jobId"])["job"]
        bucket = cloud.outputs["BucketName"]
        for job_id, description in [
            ("AFR_OTA-no-release", "my job"),
            ("AFR_OTA-other-bucket", "s3://other/firmware/a?versionId=v"),
            ("AFR_OTA-other-prefix", f"s3://{bucket}/other/a?versionId=v"),
            ("AFR_OTA-copy", own["description"]),
            ("AFR_OTA-marked", "Gateway 2.1.0 (release 0123456789abcdef)"),
            ("AFR_OTA-no-record", f"s3://{bucket}/firmware/no-record.bin?versionId=v (release 0123456789abcdef)"),
            ("other", own["description"]),
        ]:
            arn = own["jobArn"].replace(own["jobId"], job_id)
            self.create_job(job_id, target, description)
            for command in (["cancel", "--yes"], ["delete", "--yes"], ["show"], ["watch"], ["devices"]):
                with self.subTest(command, job_id=job_id):
                    self.assertIn("is not this stack's", self.refuses(1, *command, arn))
                    expected = (
                        "is not this stack's" if job_id.startswith("AFR_OTA-") else "no version of `other` has a job"
                    )
                    self.assertIn(expected, self.refuses(1, *command, job_id))
            self.assertEqual(client("iot").describe_job(jobId=job_id)["job"]["status"], "IN_PROGRESS")
            self.assertNotIn(f"{job_id} ", self.succeeds("list", "--all"))

    def test_a_job_that_was_changed_or_created_again_is_never_touched(self):
        for name, change in [("edited.bin", self.edit), ("again.bin", self.create_again)]:
            release = self.release(name)
            job_id, iot = release["jobId"], client("iot")
            change(iot.describe_job(jobId=job_id)["job"])
            for command in (["cancel", "--yes"], ["delete", "--yes"], ["watch"]):
                for named in (job_id, name, release["streamId"]):
                    with self.subTest(command, named=named):
                        self.assertIn(f"the job `{job_id}` is not this stack's", self.refuses(1, *command, named))
            self.assertEqual(iot.describe_job(jobId=job_id)["job"]["status"], "IN_PROGRESS")
            self.assertEqual(iot.describe_stream(streamId=release["streamId"])["streamInfo"]["streamVersion"], 1)

    def edit(self, job):
        client("iot").update_job(jobId=job["jobId"], description="approved")

    def create_again(self, job):
        client("iot").delete_job(jobId=job["jobId"], force=True)
        self.create_job(job["jobId"], job["targets"][0], job["description"])

    def test_a_forged_record_proves_nothing(self):
        # The job document leads to an object outside the folders of releases, next to which is a record.
        bucket, url = cloud.outputs["BucketName"], "s3.us-east-1.amazonaws.com"
        record = {"bucket": bucket, "key": "firmware/a.bin", "versionId": "v", "jobId": "AFR_OTA-forged", "tags": {}}
        record |= {"nonce": "00" * 16}
        for folder in ("by-hand", "0a" * 16):
            body = json.dumps(record | {"jobArn": "arn"}).encode()
            client("s3").put_object(Bucket=bucket, Key=f"SignedImage/{folder}/release.json", Body=body)
            file = {"update_data_url": f"https://{url}/{bucket}/SignedImage/{folder}/x"}
            document = json.dumps({"afr_ota": {"files": [file]}})
            target = client("iot").describe_thing(thingName=ONE)["thingArn"]
            job = {"jobId": "AFR_OTA-forged", "targets": [target], "document": document}
            client("iot").create_job(**job, description=f"a{mark(record['nonce'])}")
            self.assertIn("is not this stack's", self.refuses(1, "cancel", "AFR_OTA-forged", "--yes"))
            self.assertNotIn("AFR_OTA-forged ", self.succeeds("list"))
            client("iot").delete_job(jobId="AFR_OTA-forged", force=True)

    def test_a_release_without_its_stream_can_be_ended(self):
        file = cloud.upload("firmware/part.bin", IMAGE)
        manifest = {"files": [{"key": "firmware/part.bin", "versionId": file}], "description": "Gateway 2.2.0"}
        path = image("ended.ota.json", json.dumps(manifest).encode())
        options = ["--to", "lab", "--start", "now", "--job-id", "ended", "--wait", "--json"]
        release = json.loads(self.succeeds("upload", path, *options))
        client("iot").delete_stream(streamId=release["streamId"])
        self.assertIn("AFR_OTA-ended ", self.succeeds("list"))
        self.succeeds("cancel", "AFR_OTA-ended", "--yes")
        deleted = json.loads(self.succeeds("delete", "AFR_OTA-ended", "--yes", "--json"))
        self.assertEqual((deleted["jobDeleted"], deleted["streamDeleted"]), (True, False))

    def test_a_job_id_that_is_used_again_belongs_to_the_newer_release(self):
        older = self.release("older.bin", "--job-id", "nightly")
        self.succeeds("cancel", "AFR_OTA-nightly", "--yes")
        client("iot").delete_job(jobId="AFR_OTA-nightly")
        newer = self.release("newer-nightly.bin", "--job-id", "nightly")
        self.assertIn("AFR_OTA-nightly, which was deleted", self.succeeds("show", "older.bin"))
        deleted = json.loads(self.succeeds("delete", "older.bin", "--yes", "--json"))
        self.assertEqual((deleted["streamId"], deleted["jobDeleted"]), (older["streamId"], False))
        shown = json.loads(self.succeeds("show", "AFR_OTA-nightly", "--json"))
        self.assertEqual(shown["streamInfo"]["streamId"], newer["streamId"])

    def test_a_job_is_canceled_by_several_people_at_once(self):
        job_id = self.release("all.bin")["jobId"]
        command = [OTA, "cancel", job_id, "--yes"]
        processes = [subprocess.Popen(command, stdout=subprocess.DEVNULL, env=environment()) for _ in range(4)]
        self.assertEqual([process.wait(60) for process in processes], [0, 0, 0, 0])

    def create_job(self, job_id, target, description):
        client("iot").create_job(jobId=job_id, targets=[target], document="{}", description=description)

    def test_a_name_without_a_record_is_not_deleted(self):
        self.assertIn("`AFR_OTA-typo` is not known", self.refuses(1, "delete", "AFR_OTA-typo", "--yes"))
        self.assertIn("no version of `gone.bin` has a job", self.refuses(1, "delete", "gone.bin"))


class BadInput(OtaTest):
    def test_each_problem_is_one_line_that_says_what_to_do(self):
        bucket = cloud.outputs["BucketName"]
        for key in ("firmware/both.bin", "firmware/firmware/both.bin"):
            self.assertEqual(cloud.outcome(key, cloud.upload(key, IMAGE, "ota:thing-group=lab"))["outcome"], "created")
        self.release("taken.bin", "--job-id", "taken")
        no_credentials = {"AWS_ACCESS_KEY_ID": None, "AWS_SECRET_ACCESS_KEY": None}
        for code, arguments, changes, expected in [
            (1, ["show", "AFR_OTA-unknown"], {}, "`AFR_OTA-unknown` is not known: "),
            (1, ["show", "unknown.bin"], {}, "no version of `unknown.bin` has a job"),
            (1, ["show", "unknown.bin?versionId=v"], {}, "no version of `unknown.bin?versionId=v` has a job"),
            (1, ["show", "unknown"], {}, "no version of `unknown` has a job"),
            (2, ["show", "firmware/both.bin"], {}, f"is ambiguous, expected `s3://{bucket}/firmware/both.bin` or "),
            (1, ["show", "s3://other/a.bin"], {}, f"`other` is not the bucket of the stack, expected `{bucket}`"),
            (1, ["show", "arn:aws:iot:eu-west-1:123456789012:job/a"], {}, "is in another account or Region, expected "),
            (2, ["show", "s3://other"], {}, "`s3://other` names no release, expected a job ID or ARN"),
            (1, ["list", "--stack", "none"], {}, "the stack `none` does not exist in us-east-1: name the stack with"),
            (1, ["list"], {"AWS_REGION": None, "AWS_DEFAULT_REGION": None}, "no Region is set: "),
            (1, ["list"], no_credentials, "no valid credentials are found: "),
            (1, ["list"], {"AWS_ACCESS_KEY_ID": "expired"}, "AWS does not accept the credentials "),
            (1, ["list", "--profile", "none"], {}, "no valid credentials are found: "),
            (2, ["upload", fifo()], {}, "is not a regular file"),
            (
                2,
                ["upload", image("y.bin"), "--key", f"firmware/{'y' * 1024}"],
                {},
                "has 1033 bytes, expected at most 1024",
            ),
            (
                3,
                ["check", image("z.bin"), "--to", "lab", "--job-id", "taken"],
                {},
                "another job has the ID `AFR_OTA-taken`",
            ),
            (2, ["upload", "/none"], {}, "the file `/none` cannot be read: "),
            (
                2,
                ["upload", image("x.bin"), "--key", "x.bin"],
                {},
                "the key `x.bin` cannot be used, expected a key that",
            ),
        ]:
            with self.subTest(arguments):
                self.assertIn(expected, self.refuses(code, *arguments, **changes))
        for key in ("firmware/both.bin", "firmware/firmware/both.bin"):
            shown = json.loads(self.succeeds("show", f"s3://{bucket}/{key}", "--json"))
            self.assertEqual(shown["job"]["key"], key)
        self.assertIn("`both.bin` is not below `firmware/`", self.refuses(1, "show", f"s3://{bucket}/both.bin"))

    def test_a_profile_on_the_command_line_precedes_the_environment(self):
        trust = {"Effect": "Allow", "Principal": {"AWS": "*"}, "Action": "sts:AssumeRole"}
        document = json.dumps({"Version": "2012-10-17", "Statement": [trust]})
        role = client("iam").create_role(RoleName="people", AssumeRolePolicyDocument=document)["Role"]["Arn"]
        client("iam").attach_role_policy(RoleName="people", PolicyArn=cloud.outputs[UPLOADER])
        config = Path(scratch, "config")
        config.write_text(
            "[profile keys]\naws_access_key_id = test\naws_secret_access_key = test\n"
            f"[profile role]\nrole_arn = {role}\nsource_profile = keys\nregion = us-east-1\n"
        )
        changes = {"AWS_CONFIG_FILE": str(config), "AWS_ACCESS_KEY_ID": "expired"}
        self.refuses(1, "groups", **changes)
        self.succeeds("groups", "--profile", "keys", **changes)
        self.succeeds("groups", "--profile", "role", **changes, AWS_REGION=None, AWS_DEFAULT_REGION=None)

    def test_a_missing_right_is_named(self):
        job_id, user = self.release("rights.bin")["jobId"], user_with("reader", READ_RELEASES)
        problem = self.refuses(1, "cancel", job_id, "--yes", **user)
        expected = (
            f"`iot:CancelJob` is not allowed on `job/{job_id}`: attach the policy in the stack's output `{OPERATOR}`"
        )
        self.assertIn(expected, problem)
        expected = f"`iot:ListJobs` is not allowed on `*`: attach the policy in the stack's output `{UPLOADER}`"
        self.assertIn(expected, self.refuses(1, "list", **user))
        # The bucket policy allows uploads only to the deployer.
        other = user_with("other", policy=UPLOADER)
        problem = self.refuses(1, "upload", image("denied.bin"), "--to", "lab", **other)
        self.assertIn("and a role that is one of the stack's `DeployerPrincipals`", problem)
        self.assertIn(
            "`cloudformation:DescribeStacks` is not allowed on", self.refuses(1, "list", **user_with("none", []))
        )

    def test_the_policies_of_the_stack_suffice(self):
        job_id = self.release("needs.bin", "--retries", "0")["jobId"]
        report(job_id, ONE, "IN_PROGRESS", "FAILED", details=DETAILS)
        upload = [image("needed.bin"), "--to", "lab", "--to-thing", ONE, "--start", "now"]
        deployer, operator = user_with("firmware-ci", policy=UPLOADER), user_with("operator", policy=OPERATOR)
        for user, command, expected in [
            (deployer, ["check", *upload], 0),
            (deployer, ["upload", *upload, "--wait"], 0),
            (deployer, ["groups"], 0),
            (deployer, ["list", "--key", "needs.bin"], 0),
            (deployer, ["show", job_id], 0),
            (deployer, ["show", "needs.bin"], 0),
            (deployer, ["show", "unknown"], 1),
            (deployer, ["devices", job_id], 0),
            (deployer, ["watch", job_id, "--timeout", "0m"], 6),
            (deployer, ["cancel", job_id, "--yes"], 1),
            (operator, ["watch", job_id, "--timeout", "0m"], 6),
            (operator, ["cancel", job_id, "--yes"], 0),
            (deployer, ["delete", job_id, "--yes"], 1),
            (operator, ["delete", job_id, "--yes"], 0),
            (operator, ["upload", *upload, "--yes"], 1),
        ]:
            with self.subTest(command):
                code, output, messages = ota(*command, **user)
                self.assertEqual(code, expected, output + messages)
                is_denied = expected == 1 and command[0] != "show"
                self.assertEqual("is not allowed" in messages, is_denied, messages)

    def test_the_command_line_is_checked(self):
        wait_alone = ["upload", "x", "--wait-timeout", "5m"]
        bad = ["watch", "x", "--until", "95%"], ["list", "--since", "soon"]
        for arguments in (["none"], ["watch"], *bad, wait_alone):
            code, output, messages = ota(*arguments)
            self.assertEqual((code, output), (2, ""), messages)
        help_text = self.succeeds("watch", "--help")
        self.assertIn("timed out    the device reported no result before the time-out", help_text)
        self.assertIn("4  the rollout is over, and devices failed", help_text)
        self.assertIn("_ota()", self.succeeds("completions", "bash"))


class Feature(unittest.TestCase):
    def test_the_function_has_none_of_the_crates_of_the_program(self):
        features = tomllib.loads((ROOT / "Cargo.toml").read_text())["features"]
        self.assertEqual(list(features), ["cli"])
        crates = {feature.removeprefix("dep:") for feature in features["cli"] if feature.startswith("dep:")}
        shared = {"bytes", "http-body"}
        command = ["cargo", "tree", "--locked", "--edges", "normal", "--prefix", "none", "--format", "{p} {f}"]
        tree = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
        names = {line.split()[0]: line for line in tree.splitlines() if line}
        self.assertEqual(names.keys() & (crates - shared), set())
        self.assertNotRegex(names["aws-config"], "sso|credentials")
        self.assertIn("aws-sdk-iot", names)


class Waiting(OtaTest):
    def test_a_device_times_out(self):
        # The device has one minute, in which the other tests ran.
        deadline = time.monotonic() + 90
        while ota("watch", timing_out, "--timeout", "0m")[0] == 6 and time.monotonic() < deadline:
            time.sleep(1)
        self.assertIn("1 device did not succeed", self.refuses(4, "watch", timing_out))
        self.assertRegex(self.succeeds("devices", timing_out, "--status", "timed-out"), rf"{ONE} +TIMED_OUT ")


def mark(nonce):
    """Returns the mark that the function derives from the nonce of a record."""
    parts = (b"description", nonce.encode())
    digits = hashlib.sha256(b"".join(len(part).to_bytes(8, "big") + part for part in parts)).hexdigest()
    return f" (release {digits[:16]})"


def user_with(name, actions=(), policy=None):
    """Creates a user with these rights, or with a policy of the stack; returns the variables with the credentials."""
    iam = client("iam")
    iam.create_user(UserName=name)
    if policy:
        iam.attach_user_policy(UserName=name, PolicyArn=cloud.outputs[policy])
    if actions:
        statement = {"Effect": "Allow", "Action": actions, "Resource": "*"}
        document = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
        iam.put_user_policy(UserName=name, PolicyName="rights", PolicyDocument=document)
    key = iam.create_access_key(UserName=name)["AccessKey"]
    return {"AWS_ACCESS_KEY_ID": key["AccessKeyId"], "AWS_SECRET_ACCESS_KEY": key["SecretAccessKey"]}


def fifo():
    path = Path(scratch, "fifo")
    os.mkfifo(path)
    return str(path)


def versions(key):
    """Returns the version IDs of a key in the bucket."""
    listed = client("s3").list_object_versions(Bucket=cloud.outputs["BucketName"], Prefix=key)
    return [version["VersionId"] for version in listed.get("Versions", [])]


def cloud_bytes(key):
    return client("s3").get_object(Bucket=cloud.outputs["BucketName"], Key=key)["Body"].read()


def start_time_out():
    """Starts a rollout whose device does not report within its minute; returns the ID of the job."""
    options = ["--to-thing", ONE, "--start", "now", "--timeout", "1m", "--retries", "0", "--wait", "--json"]
    code, output, messages = ota("upload", image("timeout.bin"), *options)
    if code:
        raise AssertionError(messages)
    job_id = json.loads(output)["jobId"]
    report(job_id, ONE, "IN_PROGRESS")
    return job_id


def main():
    global cloud, scratch, timing_out
    with Cloud() as cloud, tempfile.TemporaryDirectory(prefix="ota-") as scratch:
        cloud.with_stack(AllowedSigningProfiles=PROFILE_TO_COME)
        timing_out = start_time_out()
        return not unittest.main(verbosity=2, exit=False).result.wasSuccessful()


if __name__ == "__main__":
    run(main)
