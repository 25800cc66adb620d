"""Tests the protections of the deployed stack, which has a KMS key.

The function's role runs with fewer permissions, and sends requests beyond them. Users whom IAM allows everything try to
change releases.
"""

import itertools
import json
import time
import unittest
from contextlib import contextmanager
from datetime import UTC, datetime

import boto3
from botocore.exceptions import ClientError

from cloud import (
    ACCOUNT,
    ALLOWED_THING_GROUPS,
    BUCKET,
    DEPLOYER,
    PROFILE_TO_COME,
    REGION,
    SIGNING_PROFILE,
    THING_GROUP,
    Cloud,
    publish,
)

from alive import step
from program import run
from stack import STACK, client

TAGS = f"ota:thing-group={THING_GROUP}"
OTHER_PROFILE = "canary_signing"
IMAGE = bytes(range(256))
KEY = f"arn:aws:kms:{REGION}:{ACCOUNT}:key/00000000-0000-0000-0000-000000000000"
DENIED = {"AccessDenied", "AccessDeniedException", "AuthorizationError", "403", "Forbidden"}
names = (f"firmware/{number}.bin" for number in itertools.count())


def invoke(key, version):
    """Returns the function's result for the event of an upload. S3 does not notify the function here."""
    event = cloud.notification(key, version)
    answer = client("lambda").invoke(FunctionName=cloud.outputs["FunctionName"], Payload=event)
    result = json.load(answer["Payload"])
    return {"outcome": "failed", "reason": str(result)} if "FunctionError" in answer else result["releases"][0]


def release(tags=TAGS):
    key = next(names)
    return invoke(key, cloud.upload(key, IMAGE, tags))


def fail():
    """Uploads for a release that fails after all retries; returns whether the failure queue has the event."""
    before, key = cloud.failures(), next(names)
    event = cloud.notification(key, cloud.upload(key, IMAGE, f"{TAGS}&ota:signing-profile={PROFILE_TO_COME}"))
    client("lambda").invoke(FunctionName=cloud.outputs["FunctionName"], InvocationType="Event", Payload=event)
    cloud.outcome(key, json.loads(event)["Records"][0]["s3"]["object"]["versionId"])
    deadline = time.monotonic() + 3
    while cloud.failures() == before and time.monotonic() < deadline:
        time.sleep(0.1)
    return {"outcome": "kept" if cloud.failures() > before else "lost"}


class AccessTest(unittest.TestCase):
    def check_denied(self, calls):
        for number, (service, operation, parameters) in enumerate(calls):
            with self.subTest(f"{number}: {operation}"):
                with self.assertRaises(ClientError) as refused:
                    getattr(service, operation)(**parameters)
                error = refused.exception.response["Error"]
                self.assertIn(error["Code"], DENIED, error)


class FunctionRole(AccessTest):
    # By statement: a release that fails without the statement, and the outcome of the release with it.
    NEEDED = {
        **dict.fromkeys(
            ["ReadUploads", "ReadAndWriteSigned", "ListKeys", "Sign", "AwaitSigning", "ReadCertificates"]
            + ["Job", "TargetThingGroups"],
            (release, "created"),
        ),
        "SignAsAllowed": (lambda: release(f"{TAGS}&ota:signing-profile={OTHER_PROFILE}"), "created"),
        "TargetThings": (lambda: release("ota:thing=lab-device-1"), "created"),
        "JobTemplates": (lambda: release(f"{TAGS}&ota:job-template=canary"), "created"),
    }
    # Statements that MiniStack does not evaluate: test_policies.py tests them.
    NOT_EVALUATED = {
        **dict.fromkeys(
            ["Stream", "LetIotReadSigned", "Log", "KeyOfObjects", "PutResults", "CountStreams"], (release, "created")
        ),
        **dict.fromkeys(
            ["PackageVersions", "ReadPackageVersions"],
            (lambda: release(f"{TAGS}&ota:package-version=fw:1"), "created"),
        ),
        **dict.fromkeys(["KeepFailures", "KeyOfFailures"], (fail, "kept")),
    }

    def setUp(self):
        ids = client("cloudformation").describe_stack_resources(StackName=STACK)["StackResources"]
        self.ids = {each["LogicalResourceId"]: each["PhysicalResourceId"] for each in ids}
        self.policy = {"RoleName": self.ids["FunctionRole"], "PolicyName": "release"}
        self.document = client("iam").get_role_policy(**self.policy)["PolicyDocument"]

    @contextmanager
    def without(self, sid):
        left = [each for each in self.document["Statement"] if each["Sid"] != sid]
        self.put(self.document | {"Statement": left})
        try:
            yield
        finally:
            self.put(self.document)

    def put(self, document):
        client("iam").put_role_policy(**self.policy, PolicyDocument=json.dumps(document))

    def test_each_statement_is_needed(self):
        tried = self.NEEDED | self.NOT_EVALUATED
        self.assertEqual({each["Sid"] for each in self.document["Statement"]}, set(tried))
        for sid, (attempt, outcome) in tried.items():
            with self.subTest(sid):
                if sid in self.NEEDED:
                    self.assertEqual(attempt()["outcome"], outcome)
                with self.without(sid):
                    result = attempt()
                self.assertEqual(result["outcome"] == outcome, sid in self.NOT_EVALUATED, result)

    def test_every_other_call_is_denied(self):
        self.assertEqual(release()["outcome"], "created")
        key = next(names)
        version = cloud.upload(key, IMAGE)
        client("s3").create_bucket(Bucket="another")
        client("s3").put_object(Bucket="another", Key=key, Body=IMAGE)
        client("s3").put_object(Bucket=BUCKET, Key="other/a.bin", Body=IMAGE)
        (certificate,) = client("acm").list_certificates()["CertificateSummaryList"]
        job = client("iot").list_jobs()["jobs"][0]["jobId"]
        signed = client("s3").list_objects_v2(Bucket=BUCKET, Prefix="SignedImage/")["Contents"][0]["Key"]

        session = self.session()
        s3, iot, signer = session.client("s3"), session.client("iot"), session.client("signer")
        iam, sqs, logs = session.client("iam"), session.client("sqs"), session.client("logs")
        functions, acm = session.client("lambda"), session.client("acm")
        self.assertEqual(
            s3.get_object(Bucket=BUCKET, Key=key)["Body"].read(), IMAGE, "the session has the role's permissions"
        )
        at = {"Bucket": BUCKET, "Key": key}
        tag_set = {"TagSet": [{"Key": "ota:thing-group", "Value": "lab"}]}
        source = {"s3": {"bucketName": BUCKET, "key": key, "version": version}}
        destination = {"s3": {"bucketName": BUCKET, "prefix": "SignedImage/"}}
        signing = {"source": source, "destination": destination}
        function, queue = self.ids["Function"], cloud.outputs["FailureQueueUrl"]
        target = f"arn:aws:iot:{REGION}:{ACCOUNT}:thinggroup/lab"
        calls = [
            (s3, "get_object", {"Bucket": "another", "Key": key}),
            (s3, "get_object", {"Bucket": BUCKET, "Key": "other/a.bin"}),
            (s3, "get_object_tagging", {**at}),
            (s3, "put_object", {**at, "Body": IMAGE}),
            (s3, "put_object", {"Bucket": BUCKET, "Key": "other/a.bin", "Body": IMAGE}),
            (s3, "put_object_tagging", {**at, "Tagging": tag_set}),
            (s3, "put_object_tagging", {"Bucket": BUCKET, "Key": signed, "Tagging": tag_set}),
            (s3, "copy_object", {"Bucket": BUCKET, "Key": key, "CopySource": {"Bucket": BUCKET, "Key": signed}}),
            (s3, "delete_object", {**at}),
            (s3, "delete_object", {**at, "VersionId": version}),
            (s3, "delete_object", {"Bucket": BUCKET, "Key": signed}),
            (s3, "list_objects_v2", {"Bucket": BUCKET, "Prefix": "other/"}),
            (s3, "list_object_versions", {"Bucket": BUCKET, "Prefix": "other/"}),
            (s3, "list_objects_v2", {"Bucket": "another"}),
            (s3, "put_bucket_policy", {"Bucket": BUCKET, "Policy": "{}"}),
            (s3, "delete_bucket_policy", {"Bucket": BUCKET}),
            (s3, "put_bucket_versioning", {"Bucket": BUCKET, "VersioningConfiguration": {"Status": "Suspended"}}),
            (s3, "put_bucket_notification_configuration", {"Bucket": BUCKET, "NotificationConfiguration": {}}),
            (signer, "start_signing_job", {**signing, "profileName": "someone_elses"}),
            (signer, "get_signing_profile", {"profileName": "someone_elses"}),
            (signer, "cancel_signing_profile", {"profileName": SIGNING_PROFILE}),
            (signer, "list_signing_jobs", {}),
            (acm, "list_certificates", {}),
            (acm, "delete_certificate", {"CertificateArn": certificate["CertificateArn"]}),
            (iot, "create_job", {"jobId": "mine", "targets": [target], "document": "{}"}),
            (iot, "cancel_job", {"jobId": job}),
            (iot, "update_job", {"jobId": job, "description": "mine"}),
            (iot, "delete_job", {"jobId": job, "force": True}),
            (iot, "describe_thing_group", {"thingGroupName": "production"}),
            (iot, "describe_thing", {"thingName": "production"}),
            (iot, "delete_thing_group", {"thingGroupName": "lab"}),
            (iot, "list_things", {}),
            (iot, "create_job_template", {"jobTemplateId": "mine", "description": "mine", "document": "{}"}),
            (iam, "get_role", {"RoleName": self.ids["OtaRole"]}),
            (iam, "put_role_policy", {**self.policy, "PolicyDocument": json.dumps(self.document)}),
            (session.client("sts"), "assume_role", {"RoleArn": cloud.outputs["OtaRoleArn"], "RoleSessionName": "mine"}),
            (functions, "invoke", {"FunctionName": function}),
            (functions, "update_function_configuration", {"FunctionName": function, "Timeout": 1}),
            (sqs, "purge_queue", {"QueueUrl": queue}),
            (logs, "delete_log_group", {"logGroupName": cloud.outputs["LogGroupName"]}),
            (session.client("cloudformation"), "delete_stack", {"StackName": STACK}),
        ]
        self.assertGreaterEqual(len(calls), 25)
        self.check_denied(calls)

    def session(self):
        """Returns a session of the function's role, whose trust policy is opened for this request alone."""
        iam, role = client("iam"), self.ids["FunctionRole"]
        trust = iam.get_role(RoleName=role)["Role"]
        statement = {"Effect": "Allow", "Principal": {"AWS": "*"}, "Action": "sts:AssumeRole"}
        open_policy = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
        iam.update_assume_role_policy(RoleName=role, PolicyDocument=open_policy)
        keys = client("sts").assume_role(RoleArn=trust["Arn"], RoleSessionName="beyond")["Credentials"]
        strict = json.dumps(trust["AssumeRolePolicyDocument"])
        iam.update_assume_role_policy(RoleName=role, PolicyDocument=strict)
        return boto3.Session(keys["AccessKeyId"], keys["SecretAccessKey"], keys["SessionToken"])


class Folders(unittest.TestCase):
    def test_uploads_below_a_prefix_reach_only_its_targets(self):
        for folder, group, outcome in [
            ("bound/", "bound-1", "created"),
            ("bound/", THING_GROUP, "rejected"),
            ("", THING_GROUP, "created"),
            ("", "bound-1", "rejected"),
        ]:
            with self.subTest(f"{group} from firmware/{folder}"):
                key = next(names).replace("firmware/", f"firmware/{folder}")
                result = invoke(key, cloud.upload(key, IMAGE, f"ota:thing-group={group}"))
                self.assertEqual(result["outcome"], outcome, result)


class Bucket(AccessTest):
    @classmethod
    def setUpClass(cls):
        cls.sessions = [cls.user(name) for name in (DEPLOYER.rpartition("/")[2], "someone")]
        cls.deployer, cls.other = (session.client("s3") for session in cls.sessions)

    @staticmethod
    def user(name):
        """Returns the session of a user whom IAM allows everything."""
        iam, everything = client("iam"), {"Effect": "Allow", "Action": "*", "Resource": "*"}
        iam.create_user(UserName=name)
        policy = json.dumps({"Version": "2012-10-17", "Statement": [everything]})
        iam.put_user_policy(UserName=name, PolicyName="everything", PolicyDocument=policy)
        key = iam.create_access_key(UserName=name)["AccessKey"]
        return boto3.Session(key["AccessKeyId"], key["SecretAccessKey"])

    def test_a_deployer_uploads_tags_and_deletes(self):
        s3, at = self.deployer, {"Bucket": BUCKET, "Key": next(names)}
        version = s3.put_object(**at, Body=IMAGE, Tagging=TAGS)["VersionId"]
        self.assertEqual(invoke(at["Key"], version)["outcome"], "created")
        s3.delete_object_tagging(**at)
        s3.put_object_tagging(**at, Tagging={"TagSet": [{"Key": "ota:thing-group", "Value": "lab"}]})
        s3.delete_object(**at)
        copied = {"Bucket": BUCKET, "Key": next(names), "CopySource": at | {"VersionId": version}}
        self.assertEqual(invoke(copied["Key"], s3.copy_object(**copied)["VersionId"])["outcome"], "created")

    def test_nobody_else_uploads_or_tags(self):
        key = next(names)
        version = cloud.upload(key, IMAGE)
        s3, at = self.other, {"Bucket": BUCKET, "Key": key}
        s3.put_object(Bucket=BUCKET, Key="other/a.bin", Body=IMAGE)
        tagging = {"Tagging": {"TagSet": [{"Key": "team", "Value": "blue"}]}}
        self.check_denied(
            [
                (s3, "put_object", {**at, "Body": IMAGE}),
                (s3, "put_object", {**at, "Body": IMAGE, "Tagging": TAGS}),
                (s3, "create_multipart_upload", {**at}),
                (s3, "copy_object", {**at, "CopySource": {"Bucket": BUCKET, "Key": "other/a.bin"}}),
                (s3, "put_object_tagging", {**at, **tagging}),
                (s3, "put_object_tagging", {**at, **tagging, "VersionId": version}),
                (s3, "delete_object_tagging", {**at}),
                (s3, "delete_object_tagging", {**at, "VersionId": version}),
                # A delete marker would hide the upload.
                (s3, "delete_object", {**at}),
                (s3, "put_object_acl", {**at, "ACL": "private"}),
                (s3, "update_object_encryption", {**at, "ObjectEncryption": {"SSEKMS": {"KMSKeyArn": KEY}}}),
                *self.object_lock(s3, at),
            ]
        )
        self.assertEqual(invoke(key, version)["reason"], "no-tags")

    @staticmethod
    def object_lock(s3, at):
        retention = {"Mode": "GOVERNANCE", "RetainUntilDate": datetime(2030, 1, 1, tzinfo=UTC)}
        return [
            (s3, "put_object_legal_hold", {**at, "LegalHold": {"Status": "ON"}}),
            (s3, "put_object_retention", {**at, "Retention": retention}),
        ]

    def test_an_access_point_does_not_bypass_the_policy(self):
        key = next(names)
        version = cloud.upload(key, IMAGE, TAGS)
        self.assertEqual(invoke(key, version)["outcome"], "created")
        record = client("s3").list_object_versions(Bucket=BUCKET, Prefix="SignedImage/")["Versions"][0]["Key"]
        for name, session in zip(("of-deployer", "of-other"), self.sessions, strict=True):
            control = session.client("s3control")
            control.meta.events.register("before-sign.s3-control", self.without_account)
            alias = control.create_access_point(AccountId=ACCOUNT, Name=name, Bucket=BUCKET)["Alias"]
            s3 = session.client("s3")
            self.assertEqual(s3.get_object(Bucket=alias, Key=key)["Body"].read(), IMAGE)
            self.check_denied(
                [
                    (s3, "put_object", {"Bucket": alias, "Key": record, "Body": IMAGE}),
                    (s3, "delete_object", {"Bucket": alias, "Key": record}),
                    (s3, "delete_object", {"Bucket": alias, "Key": key, "VersionId": version}),
                ]
            )
        self.check_denied(
            [
                (s3, "put_object", {"Bucket": alias, "Key": key, "Body": IMAGE}),
                (s3, "delete_object", {"Bucket": alias, "Key": key}),
            ]
        )

    @staticmethod
    def without_account(request, **_):
        """Removes the account from the name of the host, which is an IP address here."""
        request.url = request.url.replace(f"//{ACCOUNT}.", "//")

    def test_nobody_else_puts_results_or_publishes_them(self):
        entry = {"Source": "lambda", "DetailType": "Lambda Function Invocation Result - Success", "Detail": "{}"}
        entry["EventBusName"] = cloud.outputs["ReleaseBusName"]
        message = {"TopicArn": cloud.outputs["ReleaseTopicArn"], "Message": "CREATED"}
        for session in self.sessions:
            events, sns = session.client("events"), session.client("sns")
            self.assertEqual(events.put_events(Entries=[entry | {"EventBusName": "default"}])["FailedEntryCount"], 0)
            self.check_denied([(events, "put_events", {"Entries": [entry]}), (sns, "publish", message)])

    def test_only_the_function_writes_signed_objects_and_nobody_deletes_a_version(self):
        key = next(names)
        version = cloud.upload(key, IMAGE, TAGS)
        self.assertEqual(invoke(key, version)["outcome"], "created")
        signed = client("s3").list_object_versions(Bucket=BUCKET, Prefix="SignedImage/")["Versions"][0]
        rule = {"Status": "Enabled", "Filter": {"Prefix": ""}, "NoncurrentVersionExpiration": {"NoncurrentDays": 1}}
        for s3 in (self.deployer, self.other):
            at = {"Bucket": BUCKET, "Key": signed["Key"]}
            self.check_denied(
                [
                    (s3, "put_object", {**at, "Body": IMAGE}),
                    (s3, "put_object", {"Bucket": BUCKET, "Key": "SignedImage/mine", "Body": IMAGE}),
                    (s3, "copy_object", {**at, "CopySource": {"Bucket": BUCKET, "Key": key}}),
                    (s3, "put_object", {"Bucket": BUCKET, "Key": "SignedImage/by-hand/mine", "Body": IMAGE}),
                    (s3, "delete_object", {**at, "VersionId": signed["VersionId"]}),
                    (s3, "delete_object", {**at}),
                    (s3, "put_object_tagging", {**at, "Tagging": {"TagSet": [{"Key": "a", "Value": "b"}]}}),
                    (s3, "put_object_acl", {**at, "ACL": "private"}),
                    (s3, "update_object_encryption", {**at, "ObjectEncryption": {"SSEKMS": {"KMSKeyArn": KEY}}}),
                    *self.object_lock(s3, at),
                    (s3, "delete_object", {"Bucket": BUCKET, "Key": key, "VersionId": version}),
                    (
                        s3,
                        "put_bucket_versioning",
                        {"Bucket": BUCKET, "VersioningConfiguration": {"Status": "Suspended"}},
                    ),
                    (
                        s3,
                        "put_bucket_lifecycle_configuration",
                        {"Bucket": BUCKET, "LifecycleConfiguration": {"Rules": [rule]}},
                    ),
                    *self.configurations(s3),
                ]
            )

    @staticmethod
    def configurations(s3):
        aes = {"Rules": [{"ApplyServerSideEncryptionByDefault": {"SSEAlgorithm": "AES256"}}]}
        replication = {"Role": DEPLOYER, "Rules": []}
        cors = {"CORSRules": [{"AllowedMethods": ["GET"], "AllowedOrigins": ["*"]}]}
        for operation, parameters in {
            "put_bucket_notification_configuration": {"NotificationConfiguration": {}},
            "put_bucket_encryption": {"ServerSideEncryptionConfiguration": aes},
            "delete_bucket_encryption": {},
            "put_bucket_replication": {"ReplicationConfiguration": replication},
            "delete_bucket_lifecycle": {},
            "put_public_access_block": {"PublicAccessBlockConfiguration": {"BlockPublicAcls": False}},
            "delete_public_access_block": {},
            "put_bucket_ownership_controls": {"OwnershipControls": {"Rules": [{"ObjectOwnership": "ObjectWriter"}]}},
            "put_bucket_acl": {"ACL": "private"},
            "put_bucket_cors": {"CORSConfiguration": cors},
            "put_bucket_request_payment": {"RequestPaymentConfiguration": {"Payer": "Requester"}},
            "put_bucket_accelerate_configuration": {"AccelerateConfiguration": {"Status": "Enabled"}},
            "put_bucket_website": {"WebsiteConfiguration": {"IndexDocument": {"Suffix": "a"}}},
            "delete_bucket": {},
        }.items():
            yield s3, operation, {"Bucket": BUCKET} | parameters

    def test_the_policy_can_be_replaced_by_an_administrator(self):
        policy = self.other.get_bucket_policy(Bucket=BUCKET)["Policy"]
        version = cloud.upload("firmware/a.bin", IMAGE)
        self.other.delete_bucket_policy(Bucket=BUCKET)
        try:
            self.other.delete_object(Bucket=BUCKET, Key="firmware/a.bin", VersionId=version)
        finally:
            self.other.put_bucket_policy(Bucket=BUCKET, Policy=policy)
        with self.assertRaises(ClientError):
            self.other.put_object(Bucket=BUCKET, Key="firmware/a.bin", Body=IMAGE)


def main():
    global cloud
    with Cloud() as cloud:
        with step("provision the account"):
            cloud.provision()
            profile = client("signer").get_signing_profile(profileName=SIGNING_PROFILE)
            members = ("platformId", "signingMaterial", "signingParameters")
            same = {member: profile[member] for member in members}
            client("signer").put_signing_profile(profileName=OTHER_PROFILE, **same)
            client("signer").put_signing_profile(profileName="someone_elses", **same)
            publish("fw:1")
            client("iot").create_job_template(jobTemplateId="canary", description="slowly", document="{}")
            for group in ("production", "bound-1"):
                client("iot").create_thing_group(thingGroupName=group)
            client("iot").create_thing(thingName="production")
            key = client("kms").create_key()["KeyMetadata"]["Arn"]
        groups = f"{ALLOWED_THING_GROUPS},bound/=bound-*"
        profiles = f"{OTHER_PROFILE},{PROFILE_TO_COME}"
        cloud.build_and_deploy(AllowedSigningProfiles=profiles, AllowedThingGroups=groups, KmsKeyArn=key)
        # Tests invoke the function themselves.
        client("s3").put_bucket_notification_configuration(Bucket=BUCKET, NotificationConfiguration={})
        return not unittest.main(verbosity=2, exit=False).result.wasSuccessful()


if __name__ == "__main__":
    run(main)
