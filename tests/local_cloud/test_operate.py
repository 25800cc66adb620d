"""Tests the commands of operators on a deployed stack: `make deploy`, `logs`, `redrive`, `destroy`."""

import base64
import hashlib
import os
import re
import signal
import subprocess
import tempfile
import threading
import time
import unittest
import uuid
from contextlib import contextmanager
from pathlib import Path

from cloud import ACCOUNT, ALLOWED_THING_GROUPS, DEPLOYER, PROFILE_TO_COME, SIGNING_PROFILE, Cloud, marked

from alive import step
from program import ROOT, VENV, run, spawn, stop
from stack import built, client, tools

TAGS = "ota:thing-group=lab"
IMAGE = bytes(range(256)) * 16
# Stacks allow this profile, and no test creates it.
PROFILE_NEVER = "profile_never"
# MiniStack does not support saved queries.
REQUIRED = (
    f"SigningProfile={SIGNING_PROFILE} DeployerPrincipals={DEPLOYER} AllowedThingGroups={ALLOWED_THING_GROUPS}"
    f" AllowedSigningProfiles={PROFILE_TO_COME},{PROFILE_NEVER} SavedQueries=false"
)


def make(target, typed="", **variables):
    """Runs a target of make; returns its exit code and its output."""
    process = subprocess.run(command(target, variables), cwd=ROOT, input=typed, env=environment(), **TEXT)
    return process.returncode, process.stdout


def command(target, variables):
    return ["make", "--no-print-directory", target, *(f"{name}={value}" for name, value in variables.items())]


def environment():
    return {name: value for name, value in os.environ.items() if not name.startswith(("MAKE", "MFLAGS"))}


TEXT = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}


class OperateTest(unittest.TestCase):
    maxDiff = None

    def succeed(self, target, typed="", **variables):
        code, output = make(target, typed, **variables)
        self.assertEqual(code, 0, output)
        return output

    def refuse(self, target, typed="", **variables):
        """Returns the one line in which a target reports a problem."""
        code, output = make(target, typed, **variables)
        self.assertEqual(code, 2, output)
        (line,) = [line for line in output.splitlines() if line.startswith("✗ ") and not line.startswith("✗ redrive")]
        return line

    @contextmanager
    def stack(self, name):
        """Deploys a separate stack, with its bucket."""
        self.succeed("deploy", STACK=name, PARAMETERS=f"BucketName={name}-bucket {REQUIRED}")
        (about,) = client("cloudformation").describe_stacks(StackName=name)["Stacks"]
        cloud.outputs = {output["OutputKey"]: output["OutputValue"] for output in about["Outputs"]}
        yield cloud.outputs
        cloud.outputs = None

    def fail_for_good(self, key, profile=PROFILE_TO_COME):
        """Uploads for a signing profile that does not exist, and waits until the event is in the failure queue."""
        before = cloud.failures()
        version = cloud.upload(key, IMAGE, f"{TAGS}&ota:signing-profile={profile}")
        deadline = time.monotonic() + 60
        while cloud.failures() == before and time.monotonic() < deadline:
            time.sleep(0.2)
        self.assertEqual(cloud.failures(), before + 1)
        return version

    def read_until(self, process, pattern):
        """Returns the next line of a process that matches the pattern."""
        return next(line for line in process.stdout if re.search(pattern, line))

    def is_redriving(self):
        mapping = client("lambda").get_event_source_mapping(UUID=cloud.outputs["RedriveMapping"])
        return mapping["State"] in ("Enabled", "Enabling")

    def exists(self, stack):
        return stack in [each["StackName"] for each in client("cloudformation").describe_stacks()["Stacks"]]


class Deployments(OperateTest):
    def test_a_missing_or_unknown_parameter_is_reported_in_one_line(self):
        self.assertEqual(
            self.refuse("deploy", STACK="new", PARAMETERS="BucketName=firmware"),
            "✗ a new stack also requires SigningProfile, DeployerPrincipals, AllowedThingGroups:"
            " make deploy PARAMETERS='SigningProfile=… DeployerPrincipals=… AllowedThingGroups=…'",
        )
        self.assertEqual(
            self.refuse("deploy", STACK="new", PARAMETERS="AllowedThingGroup=lab"),
            "✗ PARAMETERS has the unknown parameter `AllowedThingGroup`: did you mean `AllowedThingGroups`?",
        )
        self.assertIn("cannot be read", self.refuse("deploy", STACK="new", PARAMETERS="missing"))
        for target in ("logs", "redrive", "destroy", "attach"):
            self.assertEqual(
                self.refuse(target, STACK="new"),
                "✗ the stack new does not exist in us-east-1: name another with STACK=…",
            )
        self.assertFalse(self.exists("new"))

    def test_what_a_deployment_needs_is_checked_before_the_build(self):
        client("s3").create_bucket(Bucket="taken")
        good = {"BucketName": "free", "SigningProfile": SIGNING_PROFILE, "DeployerPrincipals": DEPLOYER}
        stranger = "arn:aws:iam::999999999999:role/ci"
        for wrong, expected in (
            ({"SigningProfile": "nowhere"}, "the signing profile `nowhere` does not exist in us-east-1: create it"),
            ({"DeployerPrincipals": f"{DEPLOYER},{stranger}"}, f"the deployer `{stranger}` is in another account"),
            ({"BucketName": "taken"}, "the bucket `taken` exists already: name another in BucketName"),
        ):
            words = {"AllowedThingGroups": "lab"} | good | wrong
            parameters = " ".join(f"{name}={value}" for name, value in words.items())
            self.assertIn(expected, self.refuse("deploy", STACK="unchecked", PARAMETERS=parameters))
        parameters = f"BucketName=taken SigningProfile=nowhere DeployerPrincipals={stranger} AllowedThingGroups=lab"
        code, output = make("deploy", STACK="unchecked", PARAMETERS=parameters)
        self.assertEqual((code, output.count("✗ the ")), (2, 3), output)
        self.assertNotIn("sam build", output)
        self.assertFalse(self.exists("unchecked"))

    def test_a_command_waits_while_another_uses_the_build(self):
        program = [VENV / "aws/bin/python", ROOT / "ops/operate.py", "zip"]
        with built("sam build", "x86_64"):
            process = spawn(program, env=environment(), **TEXT)
            try:
                deadline = time.monotonic() + 60
                while not re.search(rf"-> FLOCK .* {process.pid} ", Path("/proc/locks").read_text()):
                    self.assertLess(time.monotonic(), deadline)
                    time.sleep(0.1)
                template = ROOT / ".aws-sam/build/template.yaml"
                before = template.stat().st_mtime_ns
                time.sleep(1)
                self.assertEqual(template.stat().st_mtime_ns, before)
                os.kill(process.pid, signal.SIGINT)
                output, _ = process.communicate(timeout=60)
            finally:
                stop(process)
                process.stdout.close()
        self.assertEqual(process.returncode, 130, output)
        self.assertIn("✗ wait for another command that uses .aws-sam", output)

    def test_ctrl_c_leaves_nothing_running(self):
        """Ends a deployment in its first seconds: before, during or after the build."""
        parameters = f"BucketName=ended {REQUIRED}"
        for moment in (0.3, 1, 2, "✓ sam build"):
            mark = f"MARK={uuid.uuid4()}"
            inherited = environment() | dict([mark.split("=")])
            process = spawn(
                command("deploy", {"PARAMETERS": parameters, "STACK": "ended-early"}), env=inherited, **TEXT
            )
            with process:
                if isinstance(moment, str):
                    self.read_until(process, moment)
                else:
                    time.sleep(moment)
                os.killpg(process.pid, signal.SIGINT)
                output, _ = process.communicate(timeout=60)
            self.assertNotIn("Traceback", output)
            self.assertNotEqual(process.returncode, 0, output)
            deadline = time.monotonic() + 20
            while (left := marked(mark)) and time.monotonic() < deadline:
                time.sleep(0.1)
            self.assertEqual(left, [], output)

    def test_the_deployed_code_is_the_zip_and_parameters_of_a_file_are_kept(self):
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder, "production")
            retries = "DefaultRetries=failed:2 timed-out:3"
            file.write_text("\n".join(["# of production", "BucketName=kept-bucket", retries, *REQUIRED.split()]))
            output = self.succeed("deploy", STACK="kept", PARAMETERS=file)
            self.assertIn(f"Stack kept, in the account {ACCOUNT} and the Region us-east-1\n\nParameters\n", output)
        (about,) = client("cloudformation").describe_stacks(StackName="kept")["Stacks"]
        outputs = {output["OutputKey"]: output["OutputValue"] for output in about["Outputs"]}
        output = self.succeed("deploy", STACK="kept", PARAMETERS="DefaultStart=2h LogLevel=WARN")
        changes = output.partition("\nChanged parameters\n")[2].partition("\n\n")[0]
        self.assertEqual(changes.split("\n"), ["    DefaultStart  1h → 2h", "    LogLevel      INFO → WARN"])
        self.assertNotIn("make attach", output)
        function = client("lambda").get_function_configuration(FunctionName=outputs["FunctionName"])
        settings = function["Environment"]["Variables"]
        values = [settings[name] for name in ("DEFAULT_RETRIES", "DEFAULT_START", "ALLOWED_THING_GROUPS")]
        self.assertEqual(values, ["failed:2 timed-out:3", "2h", ALLOWED_THING_GROUPS])

        output = self.succeed("zip")
        digest = re.search("SHA-256 +([0-9a-f]{64})", output).group(1)
        archive = Path(ROOT, re.search(r"^\S+\.zip$", output, re.MULTILINE).group())
        self.assertEqual(hashlib.sha256(archive.read_bytes()).hexdigest(), digest)
        self.assertEqual(base64.b64decode(function["CodeSha256"]).hex(), digest)

        self.assertIn("Deploy this changeset? [y/N]", self.sam_deploy("kept", "n\n", DefaultStart="4h"))
        function = client("lambda").get_function_configuration(FunctionName=outputs["FunctionName"])
        self.assertEqual(function["Environment"]["Variables"]["DEFAULT_START"], "2h")

    def sam_deploy(self, stack, typed, **parameters):
        """Returns the output of `sam deploy` with the options of samconfig.toml."""
        words = [f"{name}={value}" for name, value in parameters.items()]
        command = ["sam", "deploy", "--stack-name", stack, "--parameter-overrides", *words]
        environment = os.environ | {"PATH": tools(), "SAM_CLI_TELEMETRY": "0"}
        with built("sam build", "x86_64"):
            return subprocess.run(command, cwd=ROOT, input=typed, env=environment, **TEXT).stdout

    def test_an_upgrade_loses_no_upload(self):
        with self.stack("upgraded"):
            uploads, done = [], threading.Event()

            def upload():
                while not done.wait(0.3) or len(uploads) < 6:
                    key = f"firmware/{len(uploads)}.bin"
                    uploads.append((key, cloud.upload(key, IMAGE, TAGS)))

            uploader = threading.Thread(target=upload)
            variables = {"STACK": "upgraded", "PARAMETERS": "DefaultStart=3h"}
            with spawn(command("deploy", variables), cwd=ROOT, env=environment(), **TEXT) as process:
                try:
                    self.read_until(process, "✓ sam build")
                    uploader.start()
                    output, _ = process.communicate(timeout=300)
                finally:
                    done.set()
                    stop(process)
            uploader.join()
            self.assertEqual(process.returncode, 0, output)
            self.assertGreater(len(uploads), 5)
            outcomes = [cloud.outcome(*each) for each in uploads]
            # Lambda can end an invocation during the upgrade, and retry it.
            self.assertLessEqual({outcome["outcome"] for outcome in outcomes}, {"created", "adopted"})
            self.assertEqual(len({outcome["jobId"] for outcome in outcomes}), len(uploads))
            after = cloud.outcome("firmware/after.bin", cloud.upload("firmware/after.bin", IMAGE, TAGS))
            self.assertEqual(after["outcome"], "created")
            self.assertEqual(cloud.failures(), 0)


class Operations(OperateTest):
    def test_logs_show_each_upload(self):
        with self.stack("logged"):
            self.assertIn("the function logged nothing", self.succeed("logs", STACK="logged"))
            created = cloud.outcome("firmware/logged.bin", cloud.upload("firmware/logged.bin", IMAGE, TAGS))
            output = self.succeed("logs", STACK="logged", SINCE="10m")
            self.assertRegex(output, rf"Z  created   firmware/logged\.bin  {re.escape(created['jobId'])}\n")
            self.assertNotIn("RequestId", output)
            self.assertNotIn("_aws", output)

            self.fail_for_good("firmware/failing.bin", PROFILE_NEVER)
            output = self.succeed("logs", STACK="logged")
            about = [line for line in output.splitlines() if "firmware/failing.bin" in line]
            self.assertEqual(len(about), 3, output)  # one for each attempt
            for line in about:
                self.assertRegex(line, rf"Z  failed    firmware/failing\.bin  .*{PROFILE_NEVER}")
            self.assertEqual(len([line for line in output.splitlines() if PROFILE_NEVER in line]), 3, output)
            self.assertEqual(self.succeed("logs", STACK="logged", KEY="logged.bin").count("\n"), 1)
            self.assertIn("logged nothing about keys that", self.succeed("logs", STACK="logged", KEY="other"))

            process = spawn(command("logs", {"STACK": "logged", "FOLLOW": "yes"}), cwd=ROOT, env=environment(), **TEXT)
            try:
                self.assertIn(created["jobId"], self.read_until(process, "created"))
                later = cloud.outcome("firmware/later.bin", cloud.upload("firmware/later.bin", IMAGE, TAGS))
                self.assertIn(later["jobId"], self.read_until(process, "created"))
            finally:
                stop(process)
                process.stdout.close()
            self.assertIn("SINCE is `yesterday`", self.refuse("logs", STACK="logged", SINCE="yesterday"))

    def test_a_redrive_always_ends_with_the_mapping_disabled(self):
        with self.stack("redriven") as outputs:
            self.assertIn("✓ the failure queue is empty", self.succeed("redrive", STACK="redriven"))
            self.fail_for_good("firmware/not redriven.bin")
            line = self.refuse("redrive", STACK="redriven", PATIENCE="5")
            self.assertEqual(line, "✗ events still in the failure queue after 5 s without a change: 1")
            self.assertFalse(self.is_redriving())

            code, output = make("redrive", STACK="redriven", PATIENCE="1")
            self.assertEqual(code, 2, output)
            back = r"1 of them cannot be processed now: each returns to the queue 12 minutes after its last attempt,"
            why = rf"the last reason: firmware/not redriven\.bin: .*{PROFILE_TO_COME}"
            self.assertRegex(output, rf"\n! {back} the last one by \d\d:\d\d \S+\. Fix.*\n! {why}")
            self.assertRegex(output, rf"without a change: 1\n  {back}.*\n  {why}")

            process = spawn(command("redrive", {"STACK": "redriven"}), cwd=ROOT, env=environment())
            try:
                deadline = time.monotonic() + 60
                while not self.is_redriving() and time.monotonic() < deadline:
                    time.sleep(0.1)
                self.assertTrue(self.is_redriving())
                os.killpg(process.pid, signal.SIGINT)
                process.wait(60)
            finally:
                stop(process)
            self.assertFalse(self.is_redriving())

            # The event that failed again would return after 12 minutes.
            client("sqs").purge_queue(QueueUrl=outputs["FailureQueueUrl"])
            version = self.fail_for_good("firmware/redriven.bin")
            signer = client("signer")
            about = signer.get_signing_profile(profileName=SIGNING_PROFILE)
            same = {name: about[name] for name in ("platformId", "signingMaterial", "signingParameters")}
            signer.put_signing_profile(profileName=PROFILE_TO_COME, **same)
            output = self.succeed("redrive", STACK="redriven")
            self.assertIn("events in the failure queue: 1\n", output)
            self.assertFalse(self.is_redriving())
            self.assertEqual(cloud.failures(), 0)
            self.assertEqual(cloud.outcomes("firmware/redriven.bin", version)[-1]["outcome"], "created")


class Destroy(OperateTest):
    def versions(self, bucket):
        pages = client("s3").get_paginator("list_object_versions").paginate(Bucket=bucket)
        return len(list(pages.search("[Versions, DeleteMarkers][][]")))

    def test_a_stack_in_use_is_not_deleted_and_the_bucket_stays(self):
        with self.stack("ended") as outputs:
            self.fail_for_good("firmware/failed.bin")
            created = cloud.outcome("firmware/ended.bin", cloud.upload("firmware/ended.bin", IMAGE, TAGS))
            self.assertIn(created["jobId"], self.refuse("destroy", STACK="ended"))
            client("iot").cancel_job(jobId=created["jobId"])
            self.assertIn("events in the failure queue of the stack: 1", self.refuse("destroy", STACK="ended"))
            client("sqs").purge_queue(QueueUrl=outputs["FailureQueueUrl"])
            policy = {"UserName": "attached", "PolicyArn": outputs["OperatorPolicyArn"]}
            client("iam").create_user(UserName="attached")
            client("iam").attach_user_policy(**policy)
            self.assertIn("are attached to the user attached", self.refuse("destroy", STACK="ended"))
            client("iam").detach_user_policy(**policy)
            self.assertTrue(self.exists("ended"))

            before = self.versions("ended-bucket")
            for typed in ("", "y\n", "yes\n", "ended-bucket\n"):
                line = self.refuse("destroy", typed, STACK="ended")
                self.assertIn(f"`{typed.strip()}` is not the name of the stack: nothing was deleted", line)
            self.assertTrue(self.exists("ended"))
            output = self.succeed("destroy", "ended\n", STACK="ended")
            self.assertIn(f"This deletes the stack ended in the account {ACCOUNT} and the Region us-east-1.\n", output)
            self.assertIn("the bucket ended-bucket and its content are kept", output)
            self.assertFalse(self.exists("ended"))
            self.assertEqual(self.versions("ended-bucket"), before)

    def test_a_bucket_is_deleted_only_after_its_name_is_typed(self):
        with self.stack("emptied"):
            cloud.upload("firmware/one.bin", IMAGE)
            cloud.upload("firmware/one.bin", IMAGE)
            client("s3").delete_object(Bucket="emptied-bucket", Key="firmware/one.bin")
            code, output = make("destroy", "emptied\nemptied\n", STACK="emptied", EMPTY="yes")
            self.assertEqual(code, 2, output)
            self.assertIn("all 3 versions", output)
            self.assertIn("✗ `emptied` is not the name of the bucket: nothing was deleted", output)
            self.assertTrue(self.exists("emptied"))
            self.assertEqual(self.versions("emptied-bucket"), 3)

            # `YES=yes` replaces the stack's name, but not that of the bucket.
            line = self.refuse("destroy", STACK="emptied", EMPTY="yes", YES="yes")
            self.assertIn("`` is not the name of the bucket: nothing was deleted", line)
            self.assertTrue(self.exists("emptied"))
            self.succeed("destroy", "emptied-bucket\n", STACK="emptied", EMPTY="yes", YES="yes")
            self.assertFalse(self.exists("emptied"))
            buckets = [bucket["Name"] for bucket in client("s3").list_buckets()["Buckets"]]
            self.assertNotIn("emptied-bucket", buckets)


def main():
    global cloud
    with Cloud() as cloud:
        with step("provision the account"):
            cloud.provision()
        return not unittest.main(verbosity=2, exit=False).result.wasSuccessful()


if __name__ == "__main__":
    run(main)
