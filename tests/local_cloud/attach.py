"""Attaches a deployed stack to the bucket that was there before it: adds to the bucket's policy and notifications, and
takes nothing away.

    attach.py

shows what would change, and asks; the Makefile says what it reads from the environment.
"""

import difflib
import json
import os
import re

import boto3
from botocore.exceptions import BotoCoreError, ClientError

from cloud import STACK, Failed, run
from intrinsics import resolved

# Whoever owns the bucket decides on its versioning and life cycle, and keeps the signed prefix out of it.
NOT_OURS = "KeepVersioning"


def attach():
    name = os.environ.get("STACK") or STACK
    try:
        session = boto3.Session(region_name=os.environ.get("AWS_REGION"))
        values, statements = deployed(session.client("cloudformation"), name)
        s3, bucket = session.client("s3"), {"Bucket": values["BucketName"]}
        check(s3, bucket, values)
        before = now(s3, bucket)
        after = merged(before, statements, "".join(re.findall("[A-Za-z0-9]+", name.title())))
        if after == before:
            print(f"✓ {values['BucketName']} is attached to {name} already")
            return
        show(values["BucketName"], before, after)
        if os.environ.get("YES") != "yes" and not agreed():
            raise Failed("nothing was changed")
        if now(s3, bucket) != before:
            raise Failed("the bucket was changed meanwhile, and not by this: look again")
        s3.put_bucket_policy(**bucket, Policy=json.dumps(after["policy"]))
        s3.put_bucket_notification_configuration(
            **bucket,
            NotificationConfiguration=after["notifications"],
            # Whether those of others still work is not for this to decide.
            SkipDestinationValidation=True,
        )
    except (BotoCoreError, ClientError) as error:
        raise Failed(f"the bucket cannot be attached: {error}") from error
    print(f"✓ {values['BucketName']} is attached to {name}")


def deployed(cloudformation, name):
    """What the names in the stack's template stand for, and its statements on the bucket."""
    (stack,) = cloudformation.describe_stacks(StackName=name)["Stacks"]
    _, partition, _, region, account, _ = stack["StackId"].split(":", 5)
    values = {each["ParameterKey"]: each["ParameterValue"] for each in stack["Parameters"]}
    if values.get("ExistingBucket") != "true":
        raise Failed(f"the stack {name} is not deployed with ExistingBucket=true: it has a bucket of its own")
    found = cloudformation.describe_stack_resource(StackName=name, LogicalResourceId="FunctionRole")
    role = found["StackResourceDetail"]["PhysicalResourceId"]
    values |= {"AWS::Partition": partition, "AWS::Region": region, "AWS::AccountId": account, "FunctionRole": role}
    values["FunctionRole.Arn"] = f"arn:{partition}:iam::{account}:role/{role}"
    template = cloudformation.get_template(StackName=name, TemplateStage="Processed")["TemplateBody"]
    document = template["Resources"]["BucketPolicy"]["Properties"]["PolicyDocument"]
    return values, [resolved(each, values) for each in document["Statement"] if each["Sid"] != NOT_OURS]


def check(s3, bucket, values):
    """That releases can be made of this bucket, and what they are made of stays."""
    where, name = s3.get_bucket_location(**bucket).get("LocationConstraint") or "us-east-1", bucket["Bucket"]
    if where != values["AWS::Region"]:
        raise Failed(
            f"the bucket {name} is in {where}, and the stack in {values['AWS::Region']}: they must be in one region"
        )
    if s3.get_bucket_versioning(**bucket).get("Status") != "Enabled":
        raise Failed(f"the bucket {name} has no versioning, and every step of a release names a version: enable it")
    signed = values["SignedPrefix"]
    for rule in optional(lambda: s3.get_bucket_lifecycle_configuration(**bucket)["Rules"], []):
        scope = rule.get("Filter", {})
        prefix = scope.get("Prefix", scope.get("And", {}).get("Prefix", rule.get("Prefix", "")))
        overlaps = signed.startswith(prefix) or prefix.startswith(signed)
        if rule["Status"] == "Enabled" and overlaps and takes_away(rule):
            raise Failed(
                f"the rule {rule.get('ID', '')} of the life cycle of the bucket {name} takes away what is below "
                f"{signed}, where devices fetch from for as long as a job goes on: limit it to other prefixes"
            )


def takes_away(rule):
    """Whether nobody can fetch an object version any more after a rule of a life cycle was applied to it."""
    moved = [*rule.get("Transitions", []), *rule.get("NoncurrentVersionTransitions", [])]
    archived = any(each.get("StorageClass") in ("GLACIER", "DEEP_ARCHIVE") for each in moved)
    return archived or "NoncurrentVersionExpiration" in rule or {"Days", "Date"} & set(rule.get("Expiration", {}))


def now(s3, bucket):
    """The bucket's policy and notifications."""
    notifications = s3.get_bucket_notification_configuration(**bucket)
    notifications.pop("ResponseMetadata", None)
    policy = optional(lambda: json.loads(s3.get_bucket_policy(**bucket)["Policy"]), None)
    if policy and isinstance(policy["Statement"], dict):  # a single one need not be in a list
        policy["Statement"] = [policy["Statement"]]
    return {"policy": policy, "notifications": notifications}


def optional(read, default):
    """What is read of a bucket, if it is there."""
    try:
        return read()
    except ClientError as error:
        if error.response["Error"]["Code"] in ("NoSuchBucketPolicy", "NoSuchLifecycleConfiguration"):
            return default
        raise


def merged(before, statements, prefix):
    """The policy and the notifications with what the stack needs: in place of statements that it had there before."""
    ours = [each | {"Sid": f"{prefix}{each['Sid']}"} for each in statements]
    policy = before["policy"] or {"Version": "2012-10-17", "Statement": []}
    sids = {each["Sid"] for each in ours}
    others = [each for each in policy["Statement"] if each.get("Sid") not in sids]
    notifications = {"EventBridgeConfiguration": {}} | before["notifications"]
    return {"policy": policy | {"Statement": others + ours}, "notifications": notifications}


def show(bucket, before, after):
    for part in before:
        texts = [json.dumps(each[part], indent=2).splitlines() if each[part] else [] for each in (before, after)]
        print(*difflib.unified_diff(*texts, f"{part} of {bucket}", "with the stack", lineterm="", n=2), sep="\n")


def agreed():
    try:
        return input("\nChange the bucket so? [y/N] ").strip().lower() in ("y", "yes")
    except EOFError:
        return False


if __name__ == "__main__":
    run(attach)
