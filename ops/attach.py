"""Attaches a deployed stack to an existing bucket: adds to the bucket's policy and notifications, and removes nothing.

    attach.py

shows the changes and asks for confirmation. The Makefile lists the environment variables.
"""

import difflib
import json
import os

from botocore.exceptions import BotoCoreError, ClientError

from denials import denials, listed, unmet_conditions
from intrinsics import resolved
from program import Failed, is_yes, run, typed
from stack import STACK, client, described, reason

# This statement would prevent the owner of the bucket from configuring it. A scheduled check of the stack replaces it.
NOT_ATTACHED = "OnlyTheStackConfigures"
# Statements of an earlier version. Their IDs began with the stack's name without hyphens, each word capitalized.
EARLIER = (
    *("OnlyOverTls", "OnlyDeployersUpload", "OnlyDeployersTag", "OnlyTheFunctionOrDeployersWriteSigned"),
    *("DeployersWriteSignedOnlyThroughAService", "KeepVersions"),
)
NOT_FOUND = ("NoSuchBucketPolicy", "NoSuchLifecycleConfiguration", "ServerSideEncryptionConfigurationNotFoundError")
# In bytes: https://docs.aws.amazon.com/AmazonS3/latest/userguide/bucket-policies.html
MAX_POLICY_BYTES = 20480


def attach():
    name, is_agreed = os.environ.get("STACK") or STACK, is_yes("YES", "confirm the changes")
    try:
        values, statements = deployed(client("cloudformation"), name)
        s3, bucket = client("s3"), {"Bucket": values["BucketName"]}
        check(s3, bucket, values)
        before = configuration(s3, bucket)
        after = merged(before, statements, name, values["FunctionRole.Arn"])
        check_policy(after["policy"], values)
        if after == before:
            print(f"✓ {values['BucketName']} is already attached to {name}")
            return
        show(values["BucketName"], before, after)
        if not is_agreed and typed("\nMake these changes? [y/N] ").strip().lower() not in ("y", "yes"):
            raise Failed("nothing was changed")
        if configuration(s3, bucket) != before:
            raise Failed("another program changed the bucket in the meantime: run `make attach` again")
        s3.put_bucket_policy(**bucket, Policy=json.dumps(after["policy"]))
        s3.put_bucket_notification_configuration(
            **bucket,
            NotificationConfiguration=after["notifications"],
            # Other notifications must stay, even if their destinations are invalid.
            SkipDestinationValidation=True,
        )
    except (BotoCoreError, ClientError) as error:
        raise Failed(f"the bucket cannot be attached: {reason(error)}") from error
    print(f"✓ {values['BucketName']} is attached to {name}")


def deployed(cloudformation, name):
    """Returns the values of the names in the stack's template, and its statements for the bucket."""
    stack = described(cloudformation, name)
    _, partition, _, region, account, _ = stack["StackId"].split(":", 5)
    values = {each["ParameterKey"]: each["ParameterValue"] for each in stack["Parameters"]}
    if values.get("ExistingBucket") != "true":
        raise Failed(f"the stack {name} is not deployed with ExistingBucket=true: it created its own bucket")
    values |= {"AWS::Partition": partition, "AWS::Region": region, "AWS::AccountId": account}
    for role in ("FunctionRole", "OtaRole"):
        found = cloudformation.describe_stack_resource(StackName=name, LogicalResourceId=role)
        values[role] = found["StackResourceDetail"]["PhysicalResourceId"]
        values[f"{role}.Arn"] = f"arn:{partition}:iam::{account}:role/{values[role]}"
    template = cloudformation.get_template(StackName=name, TemplateStage="Processed")["TemplateBody"]
    document = template["Resources"]["BucketPolicy"]["Properties"]["PolicyDocument"]
    return values, [resolved(each, values) for each in document["Statement"] if each["Sid"] != NOT_ATTACHED]


def check(s3, bucket, values):
    """Fails if the bucket cannot be used for releases, or would lose their objects."""
    where, name = region(s3, bucket, values["AWS::AccountId"]), bucket["Bucket"]
    if where != values["AWS::Region"]:
        raise Failed(
            f"the bucket {name} is in {where}, and the stack in {values['AWS::Region']}. Signer reads only buckets of"
            f" its Region: deploy the stack in {where}, or choose a bucket in {values['AWS::Region']}"
        )
    check_encryption(s3, bucket, values["KmsKeyArn"])
    if s3.get_bucket_versioning(**bucket).get("Status") != "Enabled":
        raise Failed(f"the bucket {name} has no versioning, but releases name object versions: enable versioning")
    signed = values["SignedPrefix"]
    for rule in optional(lambda: s3.get_bucket_lifecycle_configuration(**bucket)["Rules"], []):
        scope = rule.get("Filter", {})
        prefix = scope.get("Prefix", scope.get("And", {}).get("Prefix", rule.get("Prefix", "")))
        overlaps = signed.startswith(prefix) or prefix.startswith(signed)
        if rule["Status"] == "Enabled" and overlaps and removes_objects(rule):
            raise Failed(
                f"the life cycle rule {rule.get('ID', '')} of the bucket {name} removes objects below {signed}, which"
                " devices fetch until their job ends: limit the rule to other prefixes"
            )


def region(s3, bucket, account):
    """Returns the Region of a bucket, which may differ from that of this session: S3 redirects requests."""
    name = bucket["Bucket"]
    try:
        found = s3.get_bucket_location(**bucket, ExpectedBucketOwner=account).get("LocationConstraint")
    except ClientError as error:
        headers = error.response.get("ResponseMetadata", {}).get("HTTPHeaders", {})
        if elsewhere := headers.get("x-amz-bucket-region"):
            return elsewhere
        match error.response["Error"]["Code"]:
            case "NoSuchBucket" | "404":
                raise Failed(f"the bucket {name} does not exist: create it, or name another in BucketName") from error
            case "AccessDenied" | "403":
                raise Failed(
                    f"the bucket {name} is not in the account {account}, or you lack s3:GetBucketLocation. The stack"
                    " and its bucket must be in the same account"
                ) from error
        raise
    # The names of the two oldest Regions: https://docs.aws.amazon.com/AmazonS3/latest/API/API_GetBucketLocation.html
    return {None: "us-east-1", "": "us-east-1", "EU": "eu-west-1"}.get(found, found)


def check_encryption(s3, bucket, key):
    """Fails if the stack's roles cannot use the key that encrypts the bucket."""
    rules = optional(lambda: s3.get_bucket_encryption(**bucket)["ServerSideEncryptionConfiguration"]["Rules"], [])
    defaults = [rule.get("ApplyServerSideEncryptionByDefault", {}) for rule in rules]
    for used in filter(None, (default.get("KMSMasterKeyID") for default in defaults)):
        # A key can be named by its ID. An alias does not show which key it names.
        if "alias/" not in used and used.rpartition("/")[2] != key.rpartition("/")[2]:
            raise Failed(
                f"the bucket {bucket['Bucket']} encrypts with the key {used}, which the stack's roles cannot use:"
                " deploy the stack with the ARN of that key in KmsKeyArn"
            )


def check_policy(policy, values):
    """Fails if a policy is too large or denies a request of a release."""
    name, size = values["BucketName"], len(json.dumps(policy).encode())
    if size > MAX_POLICY_BYTES:
        raise Failed(
            f"the policy of the bucket {name} would have {size} bytes with the stack's statements, and S3 allows"
            f" {MAX_POLICY_BYTES}: shorten its other statements, or DeployerPrincipals"
        )
    certain = []
    for statement, denied, is_certain in denials(policy["Statement"], values):
        problem = f"`{statement.get('Sid', json.dumps(statement))}`"
        reason = f" ({unmet})" if (unmet := unmet_conditions(statement)) else ""
        if is_certain:
            certain.append("\n    ".join([f"  {problem}{reason} denies", *map(str, denied)]))
        else:
            print(f"! the statement {problem} may deny {denied[0]}{reason}, depending on the request")
    if certain:
        roles = json.dumps({"ArnNotEquals": {"aws:PrincipalArn": [values["FunctionRole.Arn"], values["OtaRole.Arn"]]}})
        raise Failed(
            f"the policy of the bucket {name} denies what the stack needs. Exempt the stack's roles in the condition of"
            f" each of these statements, by {roles}, or remove the statement:\n" + "\n".join(certain)
        )


def removes_objects(rule):
    """Returns whether a life cycle rule makes object versions unavailable to devices."""
    moved = [*rule.get("Transitions", []), *rule.get("NoncurrentVersionTransitions", [])]
    archived = any(each.get("StorageClass") in ("GLACIER", "DEEP_ARCHIVE") for each in moved)
    return archived or "NoncurrentVersionExpiration" in rule or {"Days", "Date"} & set(rule.get("Expiration", {}))


def configuration(s3, bucket):
    """Returns the bucket's policy and notifications."""
    notifications = s3.get_bucket_notification_configuration(**bucket)
    notifications.pop("ResponseMetadata", None)
    policy = optional(lambda: json.loads(s3.get_bucket_policy(**bucket)["Policy"]), None)
    if policy and isinstance(policy["Statement"], dict):  # a single statement may be without a list
        policy["Statement"] = [policy["Statement"]]
    return {"policy": policy, "notifications": notifications}


def optional(read, default):
    """Returns the result of `read`, or the default if the bucket has no such configuration."""
    try:
        return read()
    except ClientError as error:
        if error.response["Error"]["Code"] in NOT_FOUND:
            return default
        raise


def merged(before, statements, stack, role):
    """Returns the configuration with the stack's notifications and statements, which replace its earlier statements."""
    prefix = sid_prefix(stack)
    ours = [each | {"Sid": f"{prefix}{each['Sid']}"} for each in statements]
    policy = before["policy"] or {"Version": "2012-10-17", "Statement": []}
    before_ours = earlier(policy["Statement"], stack, role)
    others = [
        each for each in policy["Statement"] if each not in before_ours and not each.get("Sid", "").startswith(prefix)
    ]
    notifications = {"EventBridgeConfiguration": {}} | before["notifications"]
    return {"policy": policy | {"Statement": others + ours}, "notifications": notifications}


def sid_prefix(stack):
    """Returns the prefix of the IDs of a stack's statements: letters and digits, unique for the stack.

    The template has the same prefix, for the scheduled check of the bucket.
    """
    return stack.replace("Z", "ZZ").replace("-", "Z0") + "Z1s"


def earlier(statements, stack, role):
    """Returns the statements that an earlier version attached for this stack.

    Stacks whose names differed only by hyphens had the same IDs, and each replaced the statements of the others. So the
    statements belong to this stack only if they name the role of its function.
    """
    prefix = "".join(filter(str.isalnum, stack.title()))
    found = [each for each in statements if each.get("Sid") in {f"{prefix}{name}" for name in EARLIER}]
    roles = [
        each.get("Condition", {}).get("ArnNotLike", {}).get("aws:PrincipalArn", [])
        for each in found
        if each["Sid"] == f"{prefix}DeployersWriteSignedOnlyThroughAService"
    ]
    return found if any(role in listed(named) for named in roles) else []


def show(bucket, before, after):
    for part in before:
        texts = [json.dumps(each[part], indent=2).splitlines() if each[part] else [] for each in (before, after)]
        print(*difflib.unified_diff(*texts, f"{part} of {bucket}", "with the stack", lineterm="", n=2), sep="\n")


if __name__ == "__main__":
    run(attach)
