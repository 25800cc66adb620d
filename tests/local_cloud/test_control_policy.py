"""Evaluates the example of a service control policy in docs/operator/security.md, request by request."""

import json
import re
import unittest

from cloud import REGION
from policies import Caller, Request
from test_policies import PolicyTest

from program import ROOT

ACCOUNT = "111122223333"
FUNCTION = Caller(f"arn:aws:iam::{ACCOUNT}:role/ota-on-upload-FunctionRole-1A2B")
ADMINISTRATOR, CI = (Caller(f"arn:aws:iam::{ACCOUNT}:role/{name}") for name in ("admin", "firmware-ci"))
STRANGERS = [
    Caller(f"arn:aws:iam::{ACCOUNT}:{name}")
    for name in ("role/web", "role/admin2", "user/admin", "role/firmware-ci2", "role/ota-on-upload-OtaRole-1", "root")
]


def at(service, resource):
    return f"arn:aws:{service}:{REGION}:{ACCOUNT}:{resource}"


class ServiceControlPolicy(PolicyTest):
    """The example in docs/operator/security.md denies to all but a few roles what only the function needs."""

    def setUp(self):
        page = (ROOT / "docs/operator/security.md").read_text()
        (text,) = re.findall(r'^    \{\n      "Version".*?^    \}$', page, re.M | re.S)
        self.text, self.document = text, json.loads(text)

    def requests(self):
        """Yields each request with the callers who may send it."""
        admin, function = ADMINISTRATOR, FUNCTION
        job, stream, profile = at("iot", "job/AFR_OTA-1"), at("iot", "stream/AFR_OTA-1"), "/signing-profiles/OtaSigning"
        group, bucket = at("iot", "thinggroup/lab"), "arn:aws:s3:::my-firmware"
        for action, resource in [
            *[(f"iot:{action}", job) for action in ("CreateJob", "CreateOTAUpdate")],
            ("iot:CreateJob", group),
            ("iot:CreateJob", at("iot", "job/mine")),
            *[(f"iot:{action}", stream) for action in ("CreateStream", "UpdateStream")],
            ("lambda:InvokeFunction", at("lambda", "function:ota-on-upload-Function-1")),
            ("lambda:UpdateFunctionCode", at("lambda", "function:ota-on-upload-Function-1")),
            ("sqs:SendMessage", at("sqs", "ota-on-upload-FailureQueue-1")),
            ("sns:Publish", at("sns", "ota-on-upload-ReleaseTopic-1")),
            ("events:PutEvents", at("events", "event-bus/ota-on-upload")),
            ("events:RemoveTargets", at("events", "rule/ota-on-upload/ota-on-upload-TellCreated-1")),
            ("events:DisableRule", at("events", "rule/ota-on-upload-UploadRule-1")),
            ("cloudformation:DeleteStack", at("cloudformation", "stack/ota-on-upload/1")),
            ("iam:PutRolePolicy", f"arn:aws:iam::{ACCOUNT}:role/ota-on-upload-OtaRole-1"),
            ("iam:PassRole", f"arn:aws:iam::{ACCOUNT}:role/ota-on-upload-OtaRole-1"),
            ("iam:CreatePolicyVersion", f"arn:aws:iam::{ACCOUNT}:policy/ota-on-upload-OperatorPolicy-1"),
        ]:
            yield Request(action, resource), {function, admin}
        for action, resource in [
            *[(f"iot:{action}", job) for action in ("CancelJob", "DeleteJob", "UpdateJob")],
            *[(f"iot:{action}", at("iot", "thing/a")) for action in ("CancelJobExecution", "DeleteJobExecution")],
            ("iot:DeleteStream", stream),
            *[(f"signer:{action}", at("signer", profile)) for action in ("PutSigningProfile", "CancelSigningProfile")],
            *[
                (f"signer:{action}", at("signer", profile))
                for action in ("RevokeSigningProfile", "AddProfilePermission")
            ],
            ("signer:RevokeSignature", at("signer", "/signing-jobs/1")),
            *[(f"acm:{action}Certificate", at("acm", "certificate/1")) for action in ("Import", "Delete")],
            *[(f"s3:{action}BucketPolicy", bucket) for action in ("Put", "Delete")],
            *[(f"s3:Put{what}Configuration", bucket) for what in ("Encryption", "Lifecycle", "Replication")],
            ("s3:PutBucketNotification", bucket),
            ("s3:PutIntelligentTieringConfiguration", bucket),
            ("s3:DeleteObjectVersion", f"{bucket}/firmware/a.bin"),
        ]:
            yield Request(action, resource), {admin}
        topic = {"events:TargetArn": [at("sns", "other"), at("sns", "ota-on-upload-ReleaseTopic-1")]}
        yield Request("events:PutTargets", at("events", "rule/mine"), topic), {admin}
        for action in ("StartSigningJob", "SignPayload"):
            yield Request(f"signer:{action}", at("signer", profile)), {function, admin, CI}
        for action, resource, *keys in [
            ("iot:DescribeJob", job),
            ("iot:CancelJob", at("iot", "job/mine")),
            ("signer:StartSigningJob", at("signer", "/signing-profiles/Lambdas")),
            ("signer:GetSigningProfile", at("signer", profile)),
            ("acm:GetCertificate", at("acm", "certificate/1")),
            ("s3:PutObject", f"{bucket}/firmware/a.bin"),
            ("s3:PutBucketPolicy", f"{bucket}2"),
            *[
                (f"{action}", at("lambda", "function:ota-on-upload-Function-1"))
                for action in ("lambda:GetFunction", "lambda:ListTags")
            ],
            *[
                (f"{action}", at("sqs", "ota-on-upload-FailureQueue-1"))
                for action in ("sqs:GetQueueUrl", "sqs:ListQueueTags")
            ],
            *[
                (f"{action}", at("sns", "ota-on-upload-AlarmTopic-1"))
                for action in ("sns:GetTopicAttributes", "sns:ListTagsForResource")
            ],
            *[
                (f"events:{action}", at("events", "rule/ota-on-upload-a"))
                for action in ("DescribeRule", "ListTargetsByRule")
            ],
            *[
                (f"cloudformation:{action}", at("cloudformation", "stack/ota-on-upload/1"))
                for action in ("DescribeStacks", "GetTemplate", "ListStackResources")
            ],
            *[
                (f"iam:{action}", f"arn:aws:iam::{ACCOUNT}:role/ota-on-upload-OtaRole-1")
                for action in ("GetRole", "ListRolePolicies")
            ],
            *[
                (f"iam:{action}", f"arn:aws:iam::{ACCOUNT}:policy/ota-on-upload-OperatorPolicy-1")
                for action in ("GetPolicy", "ListEntitiesForPolicy")
            ],
            ("iam:CreatePolicyVersion", f"arn:aws:iam::{ACCOUNT}:policy/other"),
            ("lambda:UpdateFunctionCode", at("lambda", "function:other")),
            ("events:PutTargets", at("events", "rule/mine"), {"events:TargetArn": [at("sns", "other")]}),
            ("events:PutTargets", at("events", "rule/mine")),
        ]:
            yield Request(action, resource, *keys), {function, admin, CI, *STRANGERS}

    def wrong(self, policy):
        """Yields the requests that a policy decides differently from the table, if IAM allows everything."""
        statements = [{"Effect": "Allow", "Action": "*", "Resource": "*"}, *policy["Statement"]]
        for request, may in self.requests():
            for caller in (FUNCTION, ADMINISTRATOR, CI, *STRANGERS):
                if request.allowed(Caller(caller.arn, {"Statement": statements})) is not (caller in may):
                    yield f"{caller.arn}: {request}"

    def test_each_caller_may_send_only_the_requests_in_the_table(self):
        self.assertEqual(list(self.wrong(self.document)), [])

    def test_each_part_of_the_policy_is_needed(self):
        for_all = {f"{each['Sid']}: any resource" for each in self.document["Statement"] if each["Resource"] == "*"}
        # Of the actions of EventBridge, only PutTargets has a target.
        harmless = for_all | {"NoOtherRuleSendsInItsName: any action"}
        self.check_each_part_decides(self.document, lambda policy: any(self.wrong(policy)), harmless)

    def test_the_policy_is_within_the_quota(self):
        """https://docs.aws.amazon.com/organizations/latest/userguide/orgs_reference_limits.html"""
        self.assertLess(len(json.dumps(self.document, separators=(",", ":"))), 5120)


if __name__ == "__main__":
    unittest.main(verbosity=2)
