"""Evaluates the policies of a deployed stack by MiniStack's evaluator, also where MiniStack itself does not check."""

import copy
import json
from dataclasses import dataclass, field
from functools import cached_property

from ministack.core.iam_evaluator import EvalContext, combine_resource_policy, evaluate, parse_policy_document

from cloud import ACCOUNT, REGION, template_url

from program import ROOT
from stack import client

EVERYTHING = {"Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*"}]}


@dataclass(frozen=True)
class Caller:
    """The sender of a request: the ARN in `aws:PrincipalArn`, and the IAM policy of that principal."""

    arn: str
    policy: dict = field(default_factory=lambda: EVERYTHING, repr=False, compare=False)

    @cached_property
    def statements(self):
        return parse_policy_document(self.policy)


@dataclass(frozen=True)
class Request:
    """An action on a resource, and its condition keys in addition to those of every request."""

    action: str
    resource: str
    keys: dict = field(default_factory=dict, hash=False)

    def allowed(self, caller, resource_policy=None):
        """Returns whether the policies of the caller and of the resource together allow the request."""
        keys = {key.lower(): value for key, value in self.keys.items()}
        context = EvalContext(
            principal_arn=caller.arn,
            principal_type="AssumedRole",
            # For a resource whose ARN names no account, the evaluator uses the account of the caller.
            principal_account=keys.pop("aws:resourceaccount", ACCOUNT),
            action=self.action,
            resource_arn=self.resource,
            region=keys.pop("aws:requestedregion", REGION),
            secure_transport=keys.pop("aws:securetransport", "true") == "true",
            service_context=keys,
        )
        result = evaluate(context, [caller.statements])
        if resource_policy:
            result = combine_resource_policy(result, context, resource_policy, None)
        return result.decision == "Allow"


class Stack:
    """A stack of the template on the local cloud, for tests of its policies. Its function has no code."""

    def __init__(self, name, **parameters):
        self.name, cloudformation = name, client("cloudformation")
        template = (ROOT / "template.yaml").read_text().replace("CodeUri: .\n", "CodeUri: s3://code/code.zip\n")
        cloudformation.create_stack(
            StackName=name,
            TemplateURL=template_url(template),
            # MiniStack does not support saved queries.
            Parameters=[
                {"ParameterKey": key, "ParameterValue": value}
                for key, value in (parameters | {"SavedQueries": "false"}).items()
            ],
            Capabilities=["CAPABILITY_IAM", "CAPABILITY_AUTO_EXPAND"],
        )
        cloudformation.get_waiter("stack_create_complete").wait(StackName=name, WaiterConfig={"Delay": 1})
        resources = cloudformation.describe_stack_resources(StackName=name)["StackResources"]
        self.ids = {each["LogicalResourceId"]: each["PhysicalResourceId"] for each in resources}
        self.bucket = f"arn:aws:s3:::{parameters['BucketName']}"

    @cached_property
    def bucket_policy(self):
        return json.loads(client("s3").get_bucket_policy(Bucket=self.ids["Bucket"])["Policy"])

    def role(self, logical_id):
        """Returns a role of the stack as a caller."""
        name = self.ids[logical_id]
        (policy,) = client("iam").list_role_policies(RoleName=name)["PolicyNames"]
        document = client("iam").get_role_policy(RoleName=name, PolicyName=policy)["PolicyDocument"]
        return Caller(f"arn:aws:iam::{ACCOUNT}:role/{name}", document)

    def managed_policy(self, logical_id):
        """Returns the document of a managed policy of the stack."""
        arn = self.ids[logical_id]
        version = client("iam").get_policy(PolicyArn=arn)["Policy"]["DefaultVersionId"]
        return client("iam").get_policy_version(PolicyArn=arn, VersionId=version)["PolicyVersion"]["Document"]

    def trust(self, logical_id):
        """Returns the trust policy of a role of the stack."""
        return client("iam").get_role(RoleName=self.ids[logical_id])["Role"]["AssumeRolePolicyDocument"]


def set_actions(statement, actions):
    """Replaces the actions that a statement names or excludes."""
    statement.pop("NotAction", None)
    statement["Action"] = actions


def listed(value):
    """Returns the values of a policy element as a list; a single value may be without a list."""
    return value if isinstance(value, list) else [value]


def changed(policy):
    """Yields each policy with one change, and its description.

    A change removes a statement, action, resource, condition or value. Or it replaces the actions of a statement by any
    action of the service, or its resources by any resource.
    """
    for at, statement in enumerate(policy["Statement"]):

        def variant(what, change, at=at, sid=statement["Sid"]):
            other = copy.deepcopy(policy)
            change(other["Statement"][at])
            return f"{sid}: {what}", other

        others = [each for each in policy["Statement"] if each is not statement]
        yield f"{statement['Sid']}: removed", policy | {"Statement": others}
        for element in statement.keys() & {"Action", "NotAction", "Resource"}:
            values = listed(statement[element])
            for value in values if len(values) > 1 else ():
                left = [each for each in values if each != value]
                yield variant(f"without {value}", lambda changed, e=element, left=left: changed.update({e: left}))
        actions = listed(statement.get("Action") or statement["NotAction"])
        service = actions[0].partition(":")[0]
        if actions != [f"{service}:*"]:
            yield variant("any action", lambda changed, service=service: set_actions(changed, f"{service}:*"))
        yield variant("any resource", lambda changed: changed.update(Resource="*"))
        for operator, keys in statement.get("Condition", {}).items():
            for key, values in keys.items():
                yield variant(f"any {key}", lambda changed, o=operator, k=key: changed["Condition"][o].pop(k))
                for value in listed(values) if len(listed(values)) > 1 else ():
                    left = [each for each in values if each != value]
                    yield variant(
                        f"{key} not {value}",
                        lambda changed, o=operator, k=key, left=left: changed["Condition"][o].update({k: left}),
                    )
