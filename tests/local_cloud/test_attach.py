"""Tests a stack for an existing bucket, which has its own policy and notifications."""

import json
import os
import subprocess
import unittest

from cloud import ACCOUNT, BUCKET, REGION, THING_GROUP, Cloud, template_url

from alive import step
from attach import NOT_ATTACHED, sid_prefix
from program import ROOT, VENV, run
from stack import STACK, client

PREFIX = sid_prefix(STACK)
TAGS = f"ota:thing-group={THING_GROUP}"
IMAGE = bytes(range(256))
THEIRS = {
    "Sid": "Theirs",
    "Effect": "Allow",
    "Principal": {"AWS": f"arn:aws:iam::{ACCOUNT}:root"},
    "Action": "s3:GetObject",
    "Resource": f"arn:aws:s3:::{BUCKET}/other/*",
}


def attach(**variables):
    """Runs `make attach` without an answer to its question; returns its exit code and its output."""
    environment = os.environ | variables
    command = [VENV / "aws/bin/python", ROOT / "ops/attach.py"]
    answer = subprocess.run(command, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True)
    return answer.returncode, answer.stdout + answer.stderr


def bucket():
    """Returns the bucket's policy and notifications."""
    notifications = client("s3").get_bucket_notification_configuration(Bucket=BUCKET)
    del notifications["ResponseMetadata"]
    return json.loads(client("s3").get_bucket_policy(Bucket=BUCKET)["Policy"]), notifications


def event(sample, key, version):
    """Returns a sample event of EventBridge for one object version of the bucket."""
    event = json.loads((ROOT / f"events/{sample}.json").read_text())
    event |= {"account": ACCOUNT, "region": REGION, "resources": [f"arn:aws:s3:::{BUCKET}"]}
    event["detail"]["bucket"]["name"] = BUCKET
    event["detail"]["object"] |= {"key": key, "version-id": version}
    return json.dumps(event)


def upload_rule():
    """Returns the rule of the stack for uploads."""
    (rule,) = [rule for rule in client("events").list_rules()["Rules"] if "EventPattern" in rule]
    return rule


class Attach(unittest.TestCase):
    """The tests run in the order of their names: before, during and after the attachment."""

    def test_1_nothing_changes_without_confirmation(self):
        before = bucket()
        code, output = attach()
        self.assertEqual((code, bucket()), (1, before), output)
        self.assertIn(f'+      "Sid": "{PREFIX}OnlyDeployersUpload",', output)
        self.assertIn('+  "EventBridgeConfiguration": {}', output)
        self.assertIn("✗ nothing was changed", output)
        self.assertNotIn('-      "Sid"', output)

    def test_2_a_bucket_that_would_lose_signed_objects_is_refused(self):
        s3, before = client("s3"), bucket()
        s3.put_bucket_versioning(Bucket=BUCKET, VersioningConfiguration={"Status": "Suspended"})
        code, output = attach(YES="yes")
        self.assertEqual((code, bucket()), (1, before), output)
        self.assertIn(f"✗ the bucket {BUCKET} has no versioning", output)
        s3.put_bucket_versioning(Bucket=BUCKET, VersioningConfiguration={"Status": "Enabled"})
        expires = {"Status": "Enabled", "NoncurrentVersionExpiration": {"NoncurrentDays": 30}}
        for prefix, refused in {"": True, "SignedImage/": True, "SignedImage/a": True, "other/": False}.items():
            rules = {"Rules": [{"ID": "tidy", "Filter": {"Prefix": prefix}, **expires}]}
            s3.put_bucket_lifecycle_configuration(Bucket=BUCKET, LifecycleConfiguration=rules)
            code, output = attach()
            self.assertEqual((code, bucket()), (1, before), output)
            self.assertEqual("✗ the life cycle rule tidy of the bucket" in output, refused, output)

    def test_2_a_bucket_whose_policy_denies_a_release_is_refused(self):
        s3, (policy, _) = client("s3"), bucket()
        header = {"Null": {"s3:x-amz-server-side-encryption": "true"}}
        encrypted = {"Sid": "Encrypted", "Effect": "Deny", "Principal": "*", "Action": "s3:PutObject"}
        encrypted |= {"Resource": f"arn:aws:s3:::{BUCKET}/*", "Condition": header}
        denying = {"Version": "2012-10-17", "Statement": [THEIRS, encrypted]}
        s3.put_bucket_policy(Bucket=BUCKET, Policy=json.dumps(denying))
        before = bucket()
        code, output = attach(YES="yes")
        self.assertEqual((code, bucket()), (1, before), output)
        self.assertIn(f"✗ the policy of the bucket {BUCKET} denies what the stack needs", output)
        self.assertIn("`Encrypted` (a release sends no encryption header", output)
        s3.put_bucket_policy(Bucket=BUCKET, Policy=json.dumps(policy))

    def test_3_the_stacks_statements_are_added_and_all_others_stay(self):
        code, output = attach(YES="yes")
        self.assertEqual(code, 0, output)
        policy, notifications = bucket()
        self.assertEqual(policy["Statement"][0], THEIRS)
        self.assertEqual([each["Id"] for each in notifications["QueueConfigurations"]], ["theirs"])
        self.assertEqual(notifications["EventBridgeConfiguration"], {})
        code, output = attach()
        self.assertEqual((code, bucket()), (0, (policy, notifications)), output)
        self.assertIn(f"✓ {BUCKET} is already attached to {STACK}", output)

    def test_4_the_added_statements_equal_those_of_a_bucket_of_the_stack(self):
        role = client("cloudformation").describe_stack_resource(StackName=STACK, LogicalResourceId="FunctionRole")
        ours = {each["Sid"]: each for each in bucket()[0]["Statement"][1:]}
        own = {
            f"{PREFIX}{each['Sid']}": each | {"Sid": f"{PREFIX}{each['Sid']}"}
            for each in self.policy_of_own_bucket(role["StackResourceDetail"]["PhysicalResourceId"])
            if each["Sid"] != NOT_ATTACHED
        }
        self.assertEqual(ours, own)

    def policy_of_own_bucket(self, role):
        """Returns the policy of the bucket that the same stack would create, with the names of this stack."""
        cloudformation = client("cloudformation")
        (stack,) = cloudformation.describe_stacks(StackName=STACK)["Stacks"]
        other = {"ExistingBucket": "false", "BucketName": "of-its-own"}
        parameters = {each["ParameterKey"]: each["ParameterValue"] for each in stack["Parameters"]} | other
        cloudformation.create_stack(
            StackName="own",
            TemplateURL=template_url(
                cloudformation.get_template(StackName=STACK, TemplateStage="Original")["TemplateBody"]
            ),
            Parameters=[{"ParameterKey": key, "ParameterValue": value} for key, value in parameters.items()],
            Capabilities=["CAPABILITY_IAM", "CAPABILITY_AUTO_EXPAND"],
        )
        cloudformation.get_waiter("stack_create_complete").wait(StackName="own", WaiterConfig={"Delay": 1})
        own = cloudformation.describe_stack_resource(StackName="own", LogicalResourceId="FunctionRole")
        policy = client("s3").get_bucket_policy(Bucket="of-its-own")["Policy"]
        policy = policy.replace("of-its-own", BUCKET).replace(own["StackResourceDetail"]["PhysicalResourceId"], role)
        return json.loads(policy)["Statement"]

    def test_5_eventbridge_invokes_the_function_on_uploads(self):
        key = "firmware/a.bin"
        version = cloud.upload(key, IMAGE, TAGS)
        # The event arrives, but MiniStack omits the version, so the function finds no tags.
        outcome = cloud.outcome(key, "null")
        self.assertEqual((outcome["outcome"], outcome["reason"]), ("skipped", "no-tags"), outcome)
        events, rule = client("events"), upload_rule()
        for sample in ("eventbridge-created", "eventbridge-tags-added"):
            as_aws = event(sample, key, version)
            self.assertTrue(events.test_event_pattern(EventPattern=rule["EventPattern"], Event=as_aws)["Result"])
        answer = client("lambda").invoke(FunctionName=cloud.outputs["FunctionName"], Payload=as_aws)
        (created,) = json.load(answer["Payload"])["releases"]
        self.assertEqual((created["outcome"], created["versionId"]), ("created", version), created)
        self.assertEqual(cloud.streamed(created["streamId"])[1], IMAGE)

    def test_6_eventbridge_ignores_all_other_events(self):
        events, rule = client("events"), upload_rule()
        for sample, key, name in (
            ("eventbridge-deleted", "firmware/a.bin", BUCKET),
            ("eventbridge-created", "SignedImage/a.bin", BUCKET),
            ("eventbridge-created", "firmware/a.bin", "another"),
        ):
            other = event(sample, key, "1").replace(BUCKET, name)
            self.assertFalse(events.test_event_pattern(EventPattern=rule["EventPattern"], Event=other)["Result"], other)

    def test_7_a_stack_that_does_not_exist_is_reported(self):
        code, output = attach(STACK="nowhere")
        self.assertEqual(code, 1, output)
        self.assertEqual(output, f"✗ the stack nowhere does not exist in {REGION}: name another with STACK=…\n")

    def test_7_a_stack_with_a_bucket_of_its_own_is_not_attached(self):
        code, output = attach(STACK="own", YES="yes")
        self.assertEqual(code, 1, output)
        self.assertIn("✗ the stack own is not deployed with ExistingBucket=true", output)

    def test_8_a_deployment_ends_with_a_reminder(self):
        command = [VENV / "aws/bin/python", ROOT / "ops/operate.py", "deploy"]
        environment = os.environ | {"PARAMETERS": "DefaultStart=2h"}
        answer = subprocess.run(command, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True)
        self.assertEqual(answer.returncode, 0, answer.stderr)
        self.assertIn(f"\nNow run make attach STACK={STACK}: until then, ", answer.stdout)


def main():
    global cloud
    with Cloud() as cloud:
        with step("provision the account"):
            cloud.provision()
            s3 = client("s3")
            s3.create_bucket(Bucket=BUCKET)
            s3.put_bucket_versioning(Bucket=BUCKET, VersioningConfiguration={"Status": "Enabled"})
            s3.put_bucket_policy(Bucket=BUCKET, Policy=json.dumps({"Version": "2012-10-17", "Statement": THEIRS}))
            queue = client("sqs").create_queue(QueueName="theirs")["QueueUrl"]
            arn = f"arn:aws:sqs:{REGION}:{ACCOUNT}:theirs"
            to_queue = {"Effect": "Allow", "Principal": {"Service": "s3.amazonaws.com"}, "Action": "sqs:*"}
            policy = {"Version": "2012-10-17", "Statement": [to_queue | {"Resource": arn}]}
            client("sqs").set_queue_attributes(QueueUrl=queue, Attributes={"Policy": json.dumps(policy)})
            theirs = {"Id": "theirs", "QueueArn": arn, "Events": ["s3:ObjectRemoved:*"]}
            s3.put_bucket_notification_configuration(
                Bucket=BUCKET, NotificationConfiguration={"QueueConfigurations": [theirs]}
            )
        cloud.build_and_deploy(ExistingBucket="true")
        return not unittest.main(verbosity=2, exit=False).result.wasSuccessful()


if __name__ == "__main__":
    run(main)
