"""Tests the program `ota` as people and pipelines use it: on a terminal and through pipes, on a deployed stack."""

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
STACK_RIGHTS = ["cloudformation:DescribeStacks"]
RECORD_RIGHTS = ["s3:GetObject", "s3:ListBucket"]
RELEASE_RIGHTS = [*STACK_RIGHTS, *RECORD_RIGHTS, "iot:DescribeJob"]
CHECK_RIGHTS = [*STACK_RIGHTS, "iot:DescribeThingGroup", "iot:DescribeThing"]
UPLOAD_RIGHTS = ["s3:PutObject", "s3:PutObjectTagging", "s3:ListBucketVersions", "logs:FilterLogEvents"]
# The rights of each command for a release that is named by its job ID.
RIGHTS = {
    "check": CHECK_RIGHTS,
    "upload": [*CHECK_RIGHTS, *RECORD_RIGHTS, *UPLOAD_RIGHTS],
    "groups": STACK_RIGHTS,
    # The last two are only for releases whose description does not name the upload.
    "list": [*RELEASE_RIGHTS, "iot:ListJobs", "iot:GetJobDocument", "iot:DescribeStream"],
    "show": [*RELEASE_RIGHTS, "iot:GetJobDocument", "iot:DescribeStream"],
    "devices": [*RELEASE_RIGHTS, "iot:ListJobExecutionsForJob", "iot:DescribeJobExecution"],
    "watch": RELEASE_RIGHTS,
    "cancel": [*RELEASE_RIGHTS, "iot:CancelJob"],
    "delete": [*RELEASE_RIGHTS, "iot:DescribeStream", "iot:DeleteStream", "iot:DeleteJob"],
}


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
        self.assertIn("\x1b[32m✓", text)

    def test_nothing_is_uploaded_that_would_be_rejected(self):
        code, output, messages = ota("upload", image("never.bin"), "--to", "fleet", "--wait")
        self.assertEqual((code, output), (3, ""), messages)
        self.assertIn("nothing was uploaded", messages)
        self.assertEqual(versions("firmware/never.bin"), [])

    def test_a_rejection_is_reported_with_its_reasons(self):
        # Only the function looks up templates.
        code, output, messages = ota(
            "upload", image("rejected.bin"), "--to", "lab", "--job-template", "missing", "--wait", "--json"
        )
        self.assertEqual(code, 3, messages)
        self.assertEqual(json.loads(output)["outcome"], "rejected")
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
        succeed(job_id, THREE)
        output = self.succeeds("devices", job_id)
        self.assertRegex(output, rf"{ONE} +FAILED +0 ")
        self.assertRegex(output, rf"1 +FAILED +reason=0xEEEEEEEE: 0xffffffff +{ONE}\n")
        self.assertRegex(output, rf"1 +REJECTED +reason=too old +{TWO}\n")
        only = json.loads(self.succeeds("devices", job_id, "--status", "failed", "--json"))
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
        table = self.succeeds("list", "--key", "list-2", "--status", "in-progress", "--since", "1h")
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

        self.assertIn("has 1 device at work", self.refuses(1, "delete", job_id, "--yes"))
        report(job_id, ONE, "SUCCEEDED")
        self.assertIn("wrong image", self.refuses(5, "watch", job_id))
        record = self.hide_receipt(release)
        self.assertIn(f"the receipt of `{job_id}` is missing", self.refuses(1, "delete", job_id, "--yes"))
        client("s3").delete_object(**record)
        code, text = on_terminal("delete", job_id, typed="y\n")
        self.assertEqual(code, 0, text)
        self.assertLess(text.index(f"deletes the stream `{stream_id}`"), text.index(f"deletes the job `{job_id}`"))
        for list_all, member, name in [("list_jobs", "jobs", job_id), ("list_streams", "streams", stream_id)]:
            found = json.dumps(getattr(client("iot"), list_all)()[member], default=str)
            self.assertNotIn(name, found)
        for name in [job_id, stream_id, "ends.bin"]:
            self.assertEqual(self.succeeds("delete", name), "")
        self.assertIn("does not exist: it was deleted", self.refuses(1, "show", job_id))

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
        iot = client("iot")
        target = client("iot").describe_thing(thingName=ONE)["thingArn"]
        for job_id, description in [("AFR_OTA-other", "s3://other/firmware/a?versionId=v"), ("mine", "my job")]:
            iot.create_job(jobId=job_id, targets=[target], document="{}", description=description)
            for command in (["cancel", "--yes"], ["delete", "--yes"], ["show"], ["watch"], ["devices"]):
                self.assertIn("is not this stack's", self.refuses(1, *command, job_id))
            self.assertEqual(iot.describe_job(jobId=job_id)["job"]["status"], "IN_PROGRESS")
        self.assertNotIn("AFR_OTA-other", self.succeeds("list", "--all"))

    def test_a_job_with_the_copied_description_of_a_release_is_never_touched(self):
        iot, release = client("iot"), self.release("copied.bin")
        own = iot.describe_job(jobId=release["jobId"])["job"]
        copy = {"jobId": "AFR_OTA-copy", "targets": own["targets"], "document": "{}"}
        iot.create_job(**copy, description=own["description"])
        problem = self.refuses(1, "cancel", "AFR_OTA-copy", "--yes")
        self.assertIn(
            f"is not this stack's: its description names s3://{release['bucket']}/firmware/copied.bin", problem
        )
        self.assertEqual(iot.describe_job(jobId="AFR_OTA-copy")["job"]["status"], "IN_PROGRESS")


class BadInput(OtaTest):
    def test_each_problem_is_one_line_that_says_what_to_do(self):
        bucket = cloud.outputs["BucketName"]
        for key in ("firmware/both.bin", "firmware/firmware/both.bin"):
            self.assertEqual(cloud.outcome(key, cloud.upload(key, IMAGE, "ota:thing-group=lab"))["outcome"], "created")
        no_credentials = {"AWS_ACCESS_KEY_ID": None, "AWS_SECRET_ACCESS_KEY": None}
        for code, arguments, changes, expected in [
            (1, ["show", "AFR_OTA-unknown"], {}, "`AFR_OTA-unknown` is not known: "),
            (1, ["show", "unknown.bin"], {}, "no version of `unknown.bin` is released"),
            (2, ["show", "firmware/both.bin"], {}, f"is ambiguous, expected `s3://{bucket}/firmware/both.bin` or "),
            (1, ["show", "s3://other/a.bin"], {}, f"`other` is not the bucket of the stack, expected `{bucket}`"),
            (1, ["show", "arn:aws:iot:eu-west-1:123456789012:job/a"], {}, "is in another account or Region, expected "),
            (2, ["show", "s3://other"], {}, "`s3://other` is no release, expected a job ID or ARN"),
            (1, ["list", "--stack", "none"], {}, "the stack `none` does not exist in us-east-1: name the stack with"),
            (1, ["list"], {"AWS_REGION": None, "AWS_DEFAULT_REGION": None}, "no Region is set: "),
            (1, ["list"], no_credentials, "no valid credentials are found: "),
            (1, ["list"], {"AWS_ACCESS_KEY_ID": "expired"}, "AWS does not accept the credentials "),
            (1, ["list", "--profile", "none"], no_credentials, "no valid credentials are found: "),
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

    def test_a_missing_right_is_named(self):
        job_id, user = self.release("rights.bin")["jobId"], user_with("reader", RELEASE_RIGHTS)
        problem = self.refuses(1, "cancel", job_id, "--yes", **user)
        self.assertIn(
            f"`iot:CancelJob` is not allowed on `job/{job_id}`: attach the policy of the stack for operators", problem
        )
        problem = self.refuses(1, "upload", image("denied.bin"), "--to", "lab", **user_with("other", RIGHTS["upload"]))
        self.assertIn("and a role that is one of the stack's `DeployerPrincipals`", problem)
        problem = self.refuses(1, "list", **user)
        self.assertIn(
            "`iot:ListJobs` is not allowed on `*`: attach the policy of the stack for firmware teams", problem
        )

    def test_each_command_needs_only_its_rights(self):
        job_id = self.release("needs.bin", "--retries", "0")["jobId"]
        report(job_id, ONE, "IN_PROGRESS", "FAILED", details=DETAILS)
        upload = [image("needed.bin"), "--to", "lab", "--to-thing", ONE, "--start", "now"]
        for command, arguments, expected in [
            ("check", upload, 0),
            ("upload", [*upload, "--wait"], 0),
            ("groups", [], 0),
            ("list", ["--key", "needs.bin"], 0),
            ("show", [job_id], 0),
            ("devices", [job_id], 0),
            ("watch", [job_id, "--timeout", "0m"], 6),
            ("cancel", [job_id, "--yes"], 0),
            ("delete", [job_id, "--yes"], 0),
        ]:
            with self.subTest(command):
                # The bucket policy allows uploads only to this user.
                name = "firmware-ci" if command == "upload" else f"only-{command}"
                user = user_with(name, RIGHTS[command])
                code, output, messages = ota(command, *arguments, **user)
                self.assertEqual(code, expected, output + messages)
                self.assertNotIn("is not allowed", messages)

    def test_the_command_line_is_checked(self):
        for arguments in (["none"], ["watch"], ["watch", "x", "--until", "95%"], ["list", "--since", "soon"]):
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


def user_with(name, actions):
    """Creates a user with these rights; returns the variables with the credentials."""
    iam = client("iam")
    statement = {"Effect": "Allow", "Action": actions, "Resource": "*"}
    policy = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
    iam.create_user(UserName=name)
    iam.put_user_policy(UserName=name, PolicyName="rights", PolicyDocument=policy)
    key = iam.create_access_key(UserName=name)["AccessKey"]
    return {"AWS_ACCESS_KEY_ID": key["AccessKeyId"], "AWS_SECRET_ACCESS_KEY": key["SecretAccessKey"]}


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
