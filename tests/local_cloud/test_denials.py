"""Tests that `make attach` refuses buckets that releases cannot use, and policies that deny their requests."""

import contextlib
import io
import json
import unittest

from botocore.exceptions import ClientError

from cloud import ACCOUNT, REGION, isolate
from lint import transformed

from attach import MAX_POLICY_BYTES, check, check_policy
from denials import denials
from intrinsics import resolved
from program import Failed

BUCKET, ROLE = "their-firmware", f"arn:aws:iam::{ACCOUNT}:role/stack-FunctionRole-1"
VALUES = {
    "AWS::Partition": "aws",
    "AWS::Region": REGION,
    "AWS::AccountId": ACCOUNT,
    "BucketName": BUCKET,
    "UploadPrefix": "firmware/",
    "SignedPrefix": "SignedImage/",
    "KmsKeyArn": "",
    "DeployerPrincipals": f"arn:aws:iam::{ACCOUNT}:role/ci",
    "FunctionRole": "stack-FunctionRole-1",
    "FunctionRole.Arn": ROLE,
    "OtaRole.Arn": f"arn:aws:iam::{ACCOUNT}:role/stack-OtaRole-1",
}
OBJECTS, SSE = f"arn:aws:s3:::{BUCKET}/*", "s3:x-amz-server-side-encryption"
KEY_HEADER = f"{SSE}-aws-kms-key-id"


def deny(condition=None, **changed):
    statement = {"Effect": "Deny", "Principal": "*", "Action": "s3:PutObject", "Resource": OBJECTS}
    return statement | ({"Condition": condition} if condition else {}) | changed


def without(statement, *elements):
    return {key: value for key, value in statement.items() if key not in elements}


EXEMPT = {"ArnNotEquals": {"aws:PrincipalArn": [VALUES["FunctionRole.Arn"], VALUES["OtaRole.Arn"]]}}
SIGNED = f"arn:aws:s3:::{BUCKET}/SignedImage/*"
DENIES, MAY, NEVER = "denies", "may deny", "does not deny"
STATEMENTS = [
    # Encryption headers, as in examples of AWS.
    (DENIES, deny({"StringNotEquals": {SSE: "AES256"}})),
    (DENIES, deny({"StringNotEquals": {SSE: ["AES256", "aws:kms"]}})),
    (DENIES, deny({"Null": {SSE: "true"}})),
    (DENIES, deny({"Null": {SSE: True}}, Action=["s3:put*"])),
    (DENIES, deny({"StringNotEquals": {KEY_HEADER: "arn:aws:kms:us-east-1:1:key/1"}}, Action="s3:*")),
    (DENIES, deny({"StringNotLikeIfExists": {SSE: "aws:*"}})),
    (DENIES, deny({"Null": {SSE: "true"}}, Resource=SIGNED)),
    (NEVER, deny({"StringNotEquals": {SSE: "AES256"}, "Null": {SSE: "false"}})),
    (NEVER, deny({"StringEquals": {SSE: "AES256"}})),
    # The configuration, which the scheduled check of the bucket reads.
    (DENIES, deny(Action="s3:GetBucketPolicy", Resource=f"arn:aws:s3:::{BUCKET}")),
    (DENIES, deny(Action="s3:GetBucket*", Resource=f"arn:aws:s3:::{BUCKET}")),
    (NEVER, deny(Action="s3:GetBucketPolicy", Resource=f"arn:aws:s3:::{BUCKET}", Condition=EXEMPT)),
    (NEVER, deny(Action="s3:PutBucketPolicy", Resource=f"arn:aws:s3:::{BUCKET}")),
    (NEVER, deny({"Null": {SSE: "true"}} | EXEMPT)),
    (NEVER, deny({"Null": {SSE: "true"}}, Resource=f"arn:aws:s3:::{BUCKET}/other/*")),
    (NEVER, deny({"Null": {SSE: "true"}}, Resource=f"arn:aws:s3:::{BUCKET}/firmware/*")),
    (NEVER, deny({"Null": {SSE: "true"}}, Effect="Allow")),
    # Other headers.
    (DENIES, deny({"StringNotEquals": {"s3:x-amz-acl": "bucket-owner-full-control"}})),
    (DENIES, deny({"StringNotEquals": {"s3:x-amz-storage-class": "STANDARD_IA"}})),
    (DENIES, deny({"Null": {"s3:RequestObjectTag/team": "true"}})),
    (DENIES, deny({"ForAnyValue:StringNotEquals": {"aws:PrincipalType": "User"}})),
    (DENIES, deny({"ForAllValues:StringEquals": {"s3:RequestObjectTagKeys": "team"}})),
    (NEVER, deny({"ForAnyValue:StringLike": {"s3:RequestObjectTagKeys": "ota:*"}})),
    (DENIES, deny({"Null": {"s3:if-none-match": "true"}})),
    # Networks and services.
    (DENIES, deny({"StringNotEquals": {"aws:SourceVpce": "vpce-1"}}, Action="s3:GetObject*")),
    (DENIES, deny({"StringNotEquals": {"aws:SourceVpc": "vpc-1"}}, Action="*", Resource="*")),
    (DENIES, deny({"Bool": {"aws:ViaAWSService": "true"}})),
    (DENIES, deny({"BoolIfExists": {"aws:MultiFactorAuthPresent": "false"}})),
    (NEVER, deny({"StringEquals": {"aws:SourceVpce": "vpce-1"}})),
    (NEVER, deny({"Bool": {"aws:SecureTransport": "false"}}, Action="s3:*")),
    (NEVER, deny({"NumericLessThan": {"s3:TlsVersion": "1.2"}}, Action="s3:*")),
    (MAY, deny({"NumericLessThan": {"s3:TlsVersion": "1.3"}}, Action="s3:*")),
    (MAY, deny({"NotIpAddress": {"aws:SourceIp": "192.0.2.0/24"}})),
    (MAY, deny({"StringNotEquals": {"aws:PrincipalOrgID": "o-1"}})),
    (MAY, deny({"DateGreaterThan": {"aws:CurrentTime": "2026-01-01T00:00:00Z"}})),
    (MAY, deny({"StringNotLike": {"aws:userid": "AROA1:*"}})),
    (MAY, deny({"StringNotEquals": {"aws:ResourceTag/${aws:PrincipalTag/team}": "a"}})),
    (MAY, deny({"AnOperatorToCome": {SSE: "AES256", "aws:PrincipalArn": ROLE}}, Action="s3:GetObject")),
    # Principals.
    (DENIES, deny()),
    (DENIES, deny(Principal={"AWS": "*"})),
    (DENIES, deny(Principal={"AWS": [ACCOUNT]})),
    (DENIES, deny(Principal={"AWS": f"arn:aws:iam::{ACCOUNT}:root"})),
    (DENIES, deny(Principal={"AWS": ["arn:aws:iam::999999999999:root", ROLE]})),
    (NEVER, deny(Principal={"AWS": "arn:aws:iam::999999999999:root"})),
    (NEVER, deny(Principal={"Service": "signer.amazonaws.com"})),
    (MAY, deny(Principal={"AWS": f"arn:aws:sts::{ACCOUNT}:assumed-role/stack-FunctionRole-1/stack"})),
    (DENIES, without(deny(NotPrincipal={"AWS": f"arn:aws:iam::{ACCOUNT}:role/ci"}), "Principal")),
    (MAY, without(deny(NotPrincipal={"AWS": [ROLE, f"arn:aws:iam::{ACCOUNT}:root"]}), "Principal")),
    (DENIES, deny({"ArnNotLike": {"aws:PrincipalArn": f"arn:aws:iam::{ACCOUNT}:role/ci*"}})),
    (NEVER, deny({"ArnNotLike": {"aws:PrincipalArn": f"arn:aws:iam::{ACCOUNT}:role/stack-*"}})),
    (NEVER, deny({"StringNotEquals": {"aws:PrincipalAccount": ACCOUNT}})),
    # Actions and resources.
    (DENIES, deny(Action="S3:putobject")),
    (DENIES, deny(Action=["s3:DeleteObject", "s3:GetObjectVersion"])),
    (DENIES, deny(Action="s3:GetObjectVersionTagging", Resource=f"arn:aws:s3:::{BUCKET}/firmware/*")),
    (DENIES, deny(Action="s3:ListBucket", Resource=f"arn:aws:s3:::{BUCKET}")),
    (DENIES, deny({"StringNotLike": {"s3:prefix": "home/*"}}, Action="s3:List*", Resource=f"arn:aws:s3:::{BUCKET}")),
    (DENIES, without(deny(NotAction="s3:GetObject"), "Action")),
    (DENIES, without(deny(NotResource=f"arn:aws:s3:::{BUCKET}/public/*"), "Resource")),
    (DENIES, deny(Resource="arn:aws:s3:::their-firmwar?/SignedImage/*/release.json")),
    (MAY, deny(Resource=f"arn:aws:s3:::{BUCKET}/${{aws:username}}/*")),
    (NEVER, deny(Action=["s3:DeleteObject*", "s3:PutObjectAcl", "s3:PutBucketPolicy"])),
    (NEVER, without(deny(NotAction=["s3:Get*", "s3:List*", "s3:Put*"]), "Action")),
    (NEVER, without(deny(NotResource=[OBJECTS, f"arn:aws:s3:::{BUCKET}"]), "Resource")),
]


class Denials(unittest.TestCase):
    def test_each_statement_that_denies_a_release_is_found(self):
        for expected, statement in STATEMENTS:
            found = [DENIES if certain else MAY for _, _, certain in denials([statement], VALUES)]
            self.assertEqual(found, [] if expected is NEVER else [expected], statement)

    def test_the_stacks_own_statements_deny_no_release(self):
        policy = transformed()["Resources"]["BucketPolicy"]["Properties"]["PolicyDocument"]
        own = [resolved(each, VALUES) for each in policy["Statement"]]
        self.assertGreater(len(own), 5)
        self.assertEqual(list(denials(own, VALUES)), [])
        other = VALUES | {"FunctionRole.Arn": f"{ROLE}2"}
        self.assertNotEqual(list(denials(own, other)), [], "statements of another stack deny")

    def test_the_message_names_statement_requests_and_remedy(self):
        statement = deny({"Null": {SSE: "true"}}, Sid="Encrypted")
        with self.assertRaises(Failed) as refused:
            check_policy({"Version": "2012-10-17", "Statement": [statement]}, VALUES)
        text = str(refused.exception)
        for word in (
            "`Encrypted` (a release sends no encryption header",
            "the function: s3:PutObject",
            "Signer: s3:Put",
        ):
            self.assertIn(word, text)
        # The suggested condition removes the denial.
        advised = json.loads(text[text.index("{") : text.index(", or remove")])
        exempted = statement | {"Condition": statement["Condition"] | advised}
        check_policy({"Version": "2012-10-17", "Statement": [exempted]}, VALUES)

    def test_a_statement_that_may_deny_a_release_is_only_a_warning(self):
        output, statement = io.StringIO(), deny({"NotIpAddress": {"aws:SourceIp": "192.0.2.0/24"}}, Sid="Office")
        with contextlib.redirect_stdout(output):
            check_policy({"Version": "2012-10-17", "Statement": [statement]}, VALUES)
        self.assertIn("! the statement `Office` may deny the function: s3:PutObject", output.getvalue())

    def test_a_policy_that_would_be_too_large_is_refused(self):
        statement = deny(Effect="Allow", Resource=[f"{OBJECTS}{number}" for number in range(1000)])
        with self.assertRaisesRegex(Failed, f"S3 allows {MAX_POLICY_BYTES}: shorten"):
            check_policy({"Version": "2012-10-17", "Statement": [statement]}, VALUES)


def refusal(code, status, **headers):
    response = {"Error": {"Code": code}, "ResponseMetadata": {"HTTPStatusCode": status, "HTTPHeaders": headers}}
    return ClientError(response, "Any")


class Bucket:
    """S3 with one bucket that releases can use, except for these responses."""

    def __init__(self, **responses):
        self.answers = {
            "get_bucket_location": {"LocationConstraint": None},
            "get_bucket_versioning": {"Status": "Enabled"},
            "get_bucket_encryption": refusal("ServerSideEncryptionConfigurationNotFoundError", 404),
            "get_bucket_lifecycle_configuration": refusal("NoSuchLifecycleConfiguration", 404),
        } | responses

    def __getattr__(self, operation):
        def call(**_):
            answer = self.answers[operation]
            if isinstance(answer, ClientError):
                raise answer
            return answer

        return call


def encrypted(key):
    default = {"SSEAlgorithm": "aws:kms"} | ({"KMSMasterKeyID": key} if key else {})
    return {"ServerSideEncryptionConfiguration": {"Rules": [{"ApplyServerSideEncryptionByDefault": default}]}}


KEY = f"arn:aws:kms:{REGION}:{ACCOUNT}:key/1"
# Buckets, values of KmsKeyArn, and the problems that are reported.
BUCKETS = [
    (Bucket(), "", None),
    (Bucket(get_bucket_location={"LocationConstraint": ""}), "", None),
    (
        Bucket(get_bucket_location={"LocationConstraint": "eu-central-1"}),
        "",
        f"is in eu-central-1, and the stack in {REGION}",
    ),
    (
        Bucket(get_bucket_location={"LocationConstraint": "EU"}),
        "",
        "deploy the stack in eu-west-1, or choose a bucket in",
    ),
    (
        Bucket(get_bucket_location=refusal("PermanentRedirect", 301, **{"x-amz-bucket-region": "eu-north-1"})),
        "",
        "is in eu-north-1, and the stack in",
    ),
    (
        Bucket(
            get_bucket_location=refusal("AuthorizationHeaderMalformed", 400, **{"x-amz-bucket-region": "ap-east-1"})
        ),
        "",
        "is in ap-east-1, and the stack in",
    ),
    (Bucket(get_bucket_location=refusal("NoSuchBucket", 404)), "", f"the bucket {BUCKET} does not exist"),
    (Bucket(get_bucket_location=refusal("AccessDenied", 403)), "", f"is not in the account {ACCOUNT}, or you lack"),
    (Bucket(get_bucket_versioning={}), "", "has no versioning"),
    (Bucket(get_bucket_versioning={"Status": "Suspended"}), "", "has no versioning"),
    (Bucket(get_bucket_encryption=encrypted(None)), "", None),
    (Bucket(get_bucket_encryption=encrypted("alias/aws/s3")), "", None),
    (Bucket(get_bucket_encryption=encrypted(KEY)), "", f"encrypts with the key {KEY}"),
    (Bucket(get_bucket_encryption=encrypted(KEY)), f"{KEY}2", f"encrypts with the key {KEY}"),
    (Bucket(get_bucket_encryption=encrypted(KEY)), KEY, None),
    (Bucket(get_bucket_encryption=encrypted("1")), KEY, None),
]


class Buckets(unittest.TestCase):
    def test_a_bucket_that_no_release_can_use_is_refused_with_a_remedy(self):
        for number, (bucket, key, problem) in enumerate(BUCKETS):
            with self.subTest(number), contextlib.ExitStack() as stack:
                if problem:
                    stack.enter_context(self.assertRaisesRegex(Failed, problem))
                check(bucket, {"Bucket": BUCKET}, VALUES | {"KmsKeyArn": key})

    def test_an_unexpected_error_is_raised(self):
        for operation in ("get_bucket_location", "get_bucket_encryption", "get_bucket_lifecycle_configuration"):
            with self.assertRaises(ClientError):
                check(Bucket(**{operation: refusal("SlowDown", 503)}), {"Bucket": BUCKET}, VALUES)


if __name__ == "__main__":
    isolate()
    unittest.main(verbosity=2)
