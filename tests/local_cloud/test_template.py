"""Checks the template against the documentation of AWS, where the local cloud differs from AWS.

The subjects are permissions of EventBridge, the alarm for all rules, notifications, and the largest parameters.
"""

import json
import re
import string
import subprocess
import tempfile
import textwrap
import unittest
from itertools import cycle, product
from pathlib import Path

from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID

from cloud import isolate, self_signed_certificate
from lint import transformed

import attach
from intrinsics import holds, resolved
from program import ROOT

ACCOUNT = "123456789012"
SERVICE = "events.amazonaws.com"
isolate()
TEMPLATE = transformed()


def of_type(name):
    return {key: each["Properties"] for key, each in TEMPLATE["Resources"].items() if each["Type"] == name}


def resource(node):
    """Returns the logical ID of the resource that a `Ref` or an attribute names."""
    match node:
        case {"Ref": name} | {"Fn::GetAtt": [name, *_]}:
            return name
    raise ValueError(f"{node} names no resource")


def rules():
    return of_type("AWS::Events::Rule")


def targets():
    """Returns each rule's logical ID with each of its targets."""
    return [(rule, target) for rule, properties in rules().items() for target in properties["Targets"]]


class EventBridge(unittest.TestCase):
    """https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-troubleshooting.html: with `SourceAccount` in the
    permission, EventBridge never invokes the function."""

    def test_each_permission_names_the_source_as_its_service_sends_it(self):
        permissions = of_type("AWS::Lambda::Permission")
        self.assertEqual(
            set(permissions), {"UploadPermission", "UploadRulePermission", "CountPermission", "CheckPermission"}
        )
        for name, permission in permissions.items():
            sources = {key for key in permission if key.startswith("Source")}
            expected = {SERVICE: {"SourceArn"}, "s3.amazonaws.com": {"SourceArn", "SourceAccount"}}
            self.assertEqual(sources, expected[permission["Principal"]], name)

    def test_each_rule_that_invokes_the_function_has_a_permission(self):
        invoking = {rule for rule, target in targets() if resource(target["Arn"]) == "Function"}
        permissions = of_type("AWS::Lambda::Permission").values()
        permitted = {resource(each["SourceArn"]) for each in permissions if each["Principal"] == SERVICE}
        self.assertEqual(permitted, invoking)

    def test_each_dead_letter_queue_admits_its_rules_by_their_arns_alone(self):
        """https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-rule-dlq.html#eb-dlq-perms"""
        admitted = set()
        for policy in of_type("AWS::SQS::QueuePolicy").values():
            (queue,) = map(resource, policy["Queues"])
            for statement in policy["PolicyDocument"]["Statement"]:
                self.assertEqual(statement["Principal"], {"Service": SERVICE})
                ((operator, keys),) = statement["Condition"].items()
                self.assertEqual((operator, list(keys)), ("ArnEquals", ["aws:SourceArn"]), queue)
                arns = keys["aws:SourceArn"]
                admitted |= {(queue, resource(arn)) for arn in (arns if isinstance(arns, list) else [arns])}
        dead = {
            (resource(each["DeadLetterConfig"]["Arn"]), rule) for rule, each in targets() if "DeadLetterConfig" in each
        }
        self.assertEqual(admitted, dead)

    def test_each_notification_has_a_dead_letter_queue_and_an_alarm_watches_each(self):
        topics = set(of_type("AWS::SNS::Topic"))
        queues = {
            rule: resource(target["DeadLetterConfig"]["Arn"])
            for rule, target in targets()
            if resource(target["Arn"]) in topics
        }
        self.assertEqual(set(queues), {"TellCreated", "TellRejected"})
        watched = {
            resource(alarm["Dimensions"][0]["Value"])
            for alarm in of_type("AWS::CloudWatch::Alarm").values()
            if alarm.get("MetricName") == "ApproximateNumberOfMessagesVisible"
        }
        self.assertLessEqual(set(queues.values()), watched)

    def test_one_alarm_counts_the_failed_deliveries_of_every_rule(self):
        """By the dimensions that rules of the default bus and of other buses have:
        https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-monitoring.html#eb-metrics
        """
        for existing in ("true", "false"):
            values, expected = {"ExistingBucket": existing, "ReleaseBus": "stack"}, set()
            for name, rule in rules().items():
                bus = resolved(rule["EventBusName"], values) if "EventBusName" in rule else None
                # The forms of AWS: https://github.com/aws-cloudformation/cloudformation-coverage-roadmap/issues/1131
                values |= {name: f"{bus}|stack-{name}-1" if bus else f"stack-{name}-1"}
                path = f"{bus}/stack-{name}-1" if bus else f"stack-{name}-1"
                values |= {f"{name}.Arn": f"arn:aws:events:eu-west-1:{ACCOUNT}:rule/{path}"}
                condition = TEMPLATE["Resources"][name].get("Condition")
                if condition and not holds({"Condition": condition}, values, TEMPLATE["Conditions"]):
                    continue
                dimensions = {("RuleName", f"stack-{name}-1")} | ({("EventBusName", bus)} if bus else set())
                kept = any("DeadLetterConfig" in target for target in rule["Targets"])
                for metric in ["FailedInvocations", *(["InvocationsFailedToBeSentToDlq"] if kept else [])]:
                    expected.add((metric, frozenset(dimensions)))
            alarm = of_type("AWS::CloudWatch::Alarm")["DeliveryAlarm"]
            total, *metrics = resolved(alarm["Metrics"], values, TEMPLATE["Conditions"])
            counted = set()
            for each in metrics:
                stat, metric = each["MetricStat"], each["MetricStat"]["Metric"]
                self.assertEqual((stat["Stat"], stat["Period"], each["ReturnData"]), ("Sum", 300, False))
                self.assertEqual(metric["Namespace"], "AWS/Events")
                dimensions = frozenset((dimension["Name"], dimension["Value"]) for dimension in metric["Dimensions"])
                counted.add((metric["MetricName"], dimensions))
            self.assertEqual(counted, expected)
            self.assertEqual((total["Expression"], total["ReturnData"]), ("SUM(METRICS())", True))
            self.assertEqual(len({each["Id"] for each in [total, *metrics]}), len(metrics) + 1)
            # https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/Create-alarm-on-metric-math-expression.html
            self.assertLessEqual(len(metrics), 10)


class InvalidJson(Exception):
    """EventBridge does not deliver the event, and counts a failed invocation."""


def delivered(target, event):
    """Returns the text that EventBridge delivers to a target, by its documented rules:
    https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-transform-target-input.html
    """
    transformer = target["InputTransformer"]
    variables = {}
    for name, path in transformer["InputPathsMap"].items():
        value = event
        for member, index in re.findall(r"\.([^.\[]+)|\[(\d+)\]", path.removeprefix("$")):
            value = value[int(index)] if index else value[member]
        variables[name] = value

    def inserted(match):
        literal, name = match.groups()
        if literal:  # a string: values are not escaped, and lists lose their quotes
            return re.sub(r"<(\w+)>", lambda each: as_text(variables[each[1]]), literal)
        value = variables[name]
        return f'"{value}"' if isinstance(value, str) else as_json(value)

    def as_text(value):
        return value if isinstance(value, str) else as_json(value).replace('"', "")

    def as_json(value):  # escapes only where JSON requires it
        return json.dumps(value, ensure_ascii=False)

    text = re.sub(r'("(?:\\.|[^"\\])*")|<(\w+)>', inserted, transformer["InputTemplate"])
    lines = [text] if text.startswith("{") else text.splitlines()
    try:
        for line in lines:
            json.loads(line)
    except ValueError as error:
        raise InvalidJson(text) from error
    return text


# Texts of keys and reasons that JSON, a template or a shell could interpret.
HOSTILE = [
    *(
        '"',
        "\\",
        '\\"',
        "\\\\",
        "\n",
        "\r\n",
        "\t",
        "\0",
        "\x1b[31m",
        "\x7f",
        "\u2028",
        "größe",
        "\U0001f512",
        "'",
        "`",
    ),
    *(
        "<releases>",
        "<message>",
        "<",
        ">",
        "<aws.events.event.json>",
        "${AWS::AccountId}",
        "$.detail",
        "{}",
        "[",
        "}",
        ",",
    ),
    *('", "message": "', "</releases>", "\\u0022", "\\n", "%22", "&quot;", "null", ""),
]


class Dashboard(unittest.TestCase):
    def test_the_dashboard_lists_each_alarm_of_the_stack(self):
        body = of_type("AWS::CloudWatch::Dashboard")["Dashboard"]["DashboardBody"]
        names = {name: name for name in re.findall(r"\$\{([\w:.]+)\}", json.dumps(body))}
        for existing in ("true", "false"):
            values = names | {"ExistingBucket": existing}
            alarms = {
                f"{name}.Arn"
                for name, each in TEMPLATE["Resources"].items()
                if each["Type"] == "AWS::CloudWatch::Alarm"
                and ("Condition" not in each or holds(each, values, TEMPLATE["Conditions"]))
            }
            widgets = json.loads(resolved(body, values, TEMPLATE["Conditions"]))["widgets"]
            (listed,) = [widget["properties"]["alarms"] for widget in widgets if widget["type"] == "alarm"]
            self.assertEqual((len(listed), set(listed)), (len(alarms), alarms))


class Notifications(unittest.TestCase):
    def test_each_key_and_each_reason_arrives_unchanged(self):
        for rule in ("TellCreated", "TellRejected"):
            (target,) = rules()[rule]["Targets"]
            for text in HOSTILE:
                releases = [
                    {"outcome": "created", "key": f"firmware/{text}.bin", "jobId": text},
                    {"outcome": "rejected", "key": text, "reasons": [f"tag `ota:start` is `{text}`", text]},
                ]
                event = {"detail": {"responsePayload": {"releases": releases}}}
                notification = json.loads(delivered(target, event))
                self.assertEqual(notification["releases"], releases)
                self.assertRegex(notification["message"], r"^(CREATED|REJECTED): [\w :,.-]+\.$")
                self.assertEqual(set(notification), {"message", "releases"})

    def test_no_key_and_no_reason_forges_a_line(self):
        for rule in ("TellCreated", "TellRejected"):
            (target,) = rules()[rule]["Targets"]
            lines = target["InputTransformer"]["InputTemplate"].count("\n")
            for text in (*HOSTILE, *map(chr, range(32)), '\n}\n{\n  "message": "CREATED"'):
                releases = [{"outcome": "rejected", "key": text, "reasons": [text]}]
                mail = delivered(target, {"detail": {"responsePayload": {"releases": releases}}})
                self.assertEqual(mail.count("\n"), lines)
                self.assertNotRegex(mail, r"[\x00-\x09\x0b-\x1f]")

    def test_a_template_of_quoted_strings_would_lose_them(self):
        """The rules of `delivered` find the errors of such a template."""
        transformer = {
            "InputPathsMap": {"key": "$.detail.releases[0].key"},
            "InputTemplate": '"REJECTED: <key>"\n"Sorry."',
        }
        for key, arrives in (("a", True), ('a"', False), ("a\\", False), ("a\nb", False)):
            event = {"detail": {"releases": [{"key": key}]}}
            if arrives:
                delivered({"InputTransformer": transformer}, event)
            else:
                with self.assertRaises(InvalidJson, msg=key):
                    delivered({"InputTransformer": transformer}, event)


class StatementIds(unittest.TestCase):
    """The IDs of statements that `make attach` adds identify the stack."""

    # Names with all characters that the IDs treat differently: capitals, digits, and the letters of marks.
    NAMES = [
        name
        for length in range(1, 6)
        for name in map("".join, product("aAZsz01-", repeat=length))
        if name[0] in string.ascii_letters
    ]

    def statements(self):
        return [each["Sid"] for each in of_type("AWS::S3::BucketPolicy")["BucketPolicy"]["PolicyDocument"]["Statement"]]

    def attached(self):
        return [each for each in self.statements() if each != attach.NOT_ATTACHED]

    def test_no_two_stacks_share_a_prefix(self):
        prefixes = {attach.sid_prefix(name) for name in self.NAMES}
        self.assertEqual(len(prefixes), len(self.NAMES))
        for prefix in prefixes:
            self.assertRegex(prefix, r"^[A-Za-z0-9]+$")
            shorter = {prefix[:end] for end in range(len(prefix))}
            self.assertFalse(shorter & prefixes, f"{prefix} begins like that of another stack")

    def test_no_prefix_matches_an_earlier_version(self):
        prefixes = {attach.sid_prefix(name) for name in self.NAMES}
        for name in self.NAMES:
            for statement in attach.EARLIER:
                sid = "".join(filter(str.isalnum, name.title())) + statement
                self.assertFalse({sid[:end] for end in range(len(sid) + 1)} & prefixes, name)

    def test_the_scheduled_check_looks_for_the_attached_statements(self):
        (target,) = rules()["CheckBucket"]["Targets"]
        for name in (*self.NAMES[:500], "ota-on-upload", "Z-Z1s--Z"):
            event = json.loads(resolved(target["Input"], {"AWS::StackName": name}))
            prefix = attach.sid_prefix(name)
            self.assertEqual(
                event, {"check": "bucket", "statements": [f"{prefix}{statement}" for statement in self.attached()]}
            )

    def test_the_event_of_the_check_fits_into_a_rule(self):
        """https://docs.aws.amazon.com/eventbridge/latest/APIReference/API_Target.html"""
        (target,) = rules()["CheckBucket"]["Targets"]
        longest = max(len(resolved(target["Input"], {"AWS::StackName": "a" + each * 127})) for each in "aZ-")
        self.assertLess(longest, 8192)


def attached(sid, stack="ota-on-upload", role="arn:role"):
    """Returns a statement as an earlier version attached it for a stack."""
    prefix = "".join(filter(str.isalnum, stack.title()))
    condition = {"ArnNotLike": {"aws:PrincipalArn": [role, "arn:session"]}}
    return {"Sid": f"{prefix}{sid}", "Effect": "Deny", "Condition": condition}


class AttachedBefore(unittest.TestCase):
    """`make attach` replaces the statements of this stack, and no others."""

    OURS = [{"Sid": "OnlyOverTls", "Effect": "Deny"}]
    SID = attach.sid_prefix("ota-on-upload")

    def statements_left(self, *before):
        policy = {"policy": {"Version": "2012-10-17", "Statement": list(before)}, "notifications": {}}
        after = attach.merged(policy, self.OURS, "ota-on-upload", "arn:role")["policy"]["Statement"]
        self.assertEqual(after[-1]["Sid"], f"{self.SID}OnlyOverTls")
        return after[:-1]

    def test_statements_of_an_earlier_version_are_removed_if_they_name_the_role(self):
        earlier = [attached(sid) for sid in attach.EARLIER]
        theirs = {"Sid": "OtaOnUploadTheirs", "Effect": "Allow"}
        without = {"Effect": "Allow"}
        self.assertEqual(self.statements_left(theirs, *earlier, without), [theirs, without])

    def test_statements_of_a_stack_whose_name_differs_by_a_hyphen_stay(self):
        # All three stacks had the IDs of `ota-on-upload`.
        for stack in ("ota-onupload", "otaon-upload", "Ota-On-Upload"):
            other = [attached(sid, "ota-on-upload", f"arn:role-of-{stack}") for sid in attach.EARLIER]
            self.assertEqual(self.statements_left(*other), other)
            for new in (f"{attach.sid_prefix(stack)}{sid}" for sid in ("OnlyOverTls", "KeepSigned")):
                statement = {"Sid": new, "Effect": "Deny"}
                self.assertEqual(self.statements_left(statement), [statement])

    def test_statements_of_an_unknown_stack_stay(self):
        mark = attached("DeployersWriteSignedOnlyThroughAService")
        others = [attached(sid) for sid in attach.EARLIER if not mark["Sid"].endswith(sid)]
        longer = attached("DeployersWriteSignedOnlyThroughAService", role="arn:role2")
        as_string = mark | {"Condition": {"ArnNotLike": {"aws:PrincipalArn": "arn:role2"}}}
        for changed in ([], [mark | {"Condition": {}}], [longer], [as_string]):
            self.assertEqual(self.statements_left(*others, *changed), [*others, *changed])

    def test_statements_of_this_version_are_replaced_even_if_there_are_fewer(self):
        former = {"Sid": f"{self.SID}NoLongerThere", "Effect": "Deny"}
        self.assertEqual(self.statements_left(former, {"Sid": f"{self.SID}OnlyOverTls"}), [])


class Regions(unittest.TestCase):
    def test_a_stack_in_govcloud_is_refused(self):
        (assertion,) = TEMPLATE["Rules"]["SignerSignsForIot"]["Assertions"]
        for partition, admitted in {"aws": True, "aws-cn": True, "aws-eusc": True, "aws-us-gov": False}.items():
            self.assertEqual(holds(assertion["Assert"], {"AWS::Partition": partition}), admitted, partition)
        self.assertIn("GovCloud", assertion["AssertDescription"])


class Certificate(unittest.TestCase):
    def test_the_documented_commands_make_a_certificate_only_for_code_signing(self):
        """With the extensions of https://docs.aws.amazon.com/freertos/latest/userguide/ota-code-sign-cert-win.html"""
        page = (ROOT / "docs/operator/deploy.md").read_text()
        (commands,) = re.findall(r"^ +cat > cert\.cnf.*?cert\.pem\n", page, re.DOTALL | re.MULTILINE)
        with tempfile.TemporaryDirectory() as folder:
            command = ["bash", "-e", "-c", textwrap.dedent(commands)]
            subprocess.run(command, cwd=folder, check=True, capture_output=True)
            pems = [(Path(folder) / "cert.pem").read_bytes(), self_signed_certificate()[0].encode()]
        for pem in pems:
            found = {type(each.value): each.value for each in x509.load_pem_x509_certificate(pem).extensions}
            self.assertFalse(found[x509.BasicConstraints].ca)
            usage = found[x509.KeyUsage]
            self.assertTrue(usage.digital_signature)
            self.assertFalse(usage.key_cert_sign or usage.crl_sign or usage.key_agreement)
            self.assertEqual(list(found[x509.ExtendedKeyUsage]), [ExtendedKeyUsageOID.CODE_SIGNING])


class Sizes(unittest.TestCase):
    """The largest values that parameters admit, with the longest names, fit into the quotas of AWS."""

    # Lists of short items make the longest policies. A key prefix becomes an ARN, too.
    ITEMS = {
        "AllowedThingGroups": "a/=a",
        "AllowedThings": "a/=a",
        "AllowedSigningProfiles": "aa",
        "DeployerPrincipals": f"arn:aws:iam::{ACCOUNT}:role/a",
    }
    # All conditions are true: each adds a statement.
    WITH_ALL = {name: {"Fn::Equals": ["", ""]} for name in TEMPLATE["Conditions"]}
    LEAST = {"AllowedThingGroups": 20, "AllowedThings": 10, "AllowedSigningProfiles": 5, "DeployerPrincipals": 20}

    def admits(self, name, value):
        parameter = TEMPLATE["Parameters"][name]
        return len(value) <= parameter["MaxLength"] and re.fullmatch(parameter["AllowedPattern"], value) is not None

    def largest(self, name):
        """Returns the largest value that a parameter admits."""
        parameter = TEMPLATE["Parameters"][name]
        if "AllowedValues" in parameter:
            return max(map(str, parameter["AllowedValues"]), key=len)
        if parameter["Type"] == "Number":
            return str(parameter["MaxValue"])
        if name in self.ITEMS:
            return self.largest_list(name)
        # A quote has two characters in JSON.
        quotes = next(number for number in range(4096) if not self.admits(name, '"' * (number + 1)))
        return '"' * quotes + "a" * (parameter["MaxLength"] - quotes)

    def largest_list(self, name):
        """Returns the largest number of items, with the items as long as the parameter admits."""
        item, most = self.ITEMS[name], TEMPLATE["Parameters"][name]["MaxLength"]
        items = [item]
        while self.admits(name, ",".join([*items, item])):
            items.append(item)
        self.assertLess(len(",".join([*items, item])), most, f"{name} bounds the number of its items")
        self.assertGreaterEqual(len(items), self.LEAST[name])
        full = set()
        for at in cycle(range(len(items))):
            longer = [*items[:at], f"{items[at]}a", *items[at + 1 :]]
            if self.admits(name, ",".join(longer)):
                items = longer
            else:
                full.add(at)
            if len(full) == len(items):
                break
        value = ",".join(items)
        self.assertTrue(self.admits(name, value))
        self.assertFalse(self.admits(name, f"{value}a"))
        self.assertEqual(len(value), most)
        return value

    def values(self):
        """Returns the longest values of everything that the template names."""
        names = {"AWS::Partition": "aws-iso-b", "AWS::Region": "r" * 16, "AWS::AccountId": ACCOUNT}
        names |= {"AWS::StackName": "s" * 128, "AWS::URLSuffix": "amazonaws.com.cn"}
        values = {name: self.largest(name) for name in self.bounded()} | names
        at = f"{names['AWS::Partition']}:{{}}:{names['AWS::Region']}:{ACCOUNT}"
        for role in of_type("AWS::IAM::Role"):
            values |= {role: "r" * 64, f"{role}.Arn": f"arn:{names['AWS::Partition']}:iam::{ACCOUNT}:role/{'r' * 64}"}
        for queue in of_type("AWS::SQS::Queue"):
            values[f"{queue}.Arn"] = f"arn:{at.format('sqs')}:{'q' * 80}"
        values["ReleaseBus.Arn"] = f"arn:{at.format('events')}:event-bus/{names['AWS::StackName']}"
        values["LogGroup"] = f"/aws/lambda/{names['AWS::StackName']}"
        values["LogGroup.Arn"] = f"arn:{at.format('logs')}:log-group:{values['LogGroup']}:*"
        return values

    def bounded(self):
        """Returns the parameters in environment variables and policies."""
        types = ("AWS::IAM::Role", "AWS::IAM::ManagedPolicy", "AWS::S3::BucketPolicy")
        text = json.dumps([self.environment(), *map(of_type, types)])
        named = set(re.findall(r'"Ref": "(\w+)"', text)) | set(re.findall(r"\$\{(\w+)", text))
        return {name for name in TEMPLATE["Parameters"] if name in named}

    def environment(self):
        return of_type("AWS::Lambda::Function")["Function"]["Environment"]["Variables"]

    def test_each_parameter_is_bounded(self):
        self.assertLessEqual({"UploadPrefix", "DryRunManifest", "DeployerPrincipals", "DefaultStart"}, self.bounded())
        for name in self.bounded():
            parameter = TEMPLATE["Parameters"][name]
            if parameter["Type"] == "Number":
                self.assertIn("MaxValue", parameter, name)
            elif "AllowedValues" not in parameter:
                self.assertLessEqual({"AllowedPattern", "MaxLength"}, set(parameter), name)
                for beyond in ("ü", "\x01", "\u2028"):  # more than two bytes in JSON or UTF-8
                    self.assertFalse(self.admits(name, beyond), f"{name}: {beyond!r}")

    def test_the_environment_is_below_4_kb(self):
        """https://docs.aws.amazon.com/lambda/latest/dg/configuration-envvars.html

        Lambda measures the variables as JSON: its error message quotes the measured text.
        """
        environment = resolved(self.environment(), self.values(), self.WITH_ALL)
        size = len(json.dumps(environment, separators=(",", ":")).encode())
        self.assertLess(size, 4096)
        self.assertGreater(size, 3500, "the limits are lower than necessary")

    def test_the_inline_policies_of_each_role_are_below_10240_characters(self):
        """Without white space: https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_iam-quotas.html"""
        for name, role in of_type("AWS::IAM::Role").items():
            policies = resolved(role["Policies"], self.values(), self.WITH_ALL)
            documents = [json.dumps(each["PolicyDocument"], separators=(",", ":")) for each in policies]
            self.assertLess(sum(map(len, documents)), 10240, name)

    def test_each_managed_policy_is_at_most_6144_characters(self):
        """Without white space: https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_iam-quotas.html"""
        policies = of_type("AWS::IAM::ManagedPolicy")
        self.assertEqual(set(policies), {"UploaderPolicy", "OperatorPolicy"})
        for name, policy in policies.items():
            document = resolved(policy["PolicyDocument"], self.values(), self.WITH_ALL)
            self.assertLessEqual(len(json.dumps(document, separators=(",", ":"))), 6144, name)

    def test_no_managed_policy_has_a_property_whose_change_replaces_it(self):
        """CloudFormation cannot delete the replaced policy while it is attached:
        https://docs.aws.amazon.com/AWSCloudFormation/latest/TemplateReference/aws-resource-iam-managedpolicy.html
        """
        for name, policy in of_type("AWS::IAM::ManagedPolicy").items():
            self.assertEqual(set(policy), {"PolicyDocument"}, name)

    def test_the_policy_of_the_bucket_is_below_20_kb(self):
        """https://docs.aws.amazon.com/AmazonS3/latest/userguide/bucket-policies.html"""
        (policy,) = of_type("AWS::S3::BucketPolicy").values()
        document = resolved(policy["PolicyDocument"], self.values(), self.WITH_ALL)
        self.assertLess(len(json.dumps(document).encode()), 20480)
        for stack in ("s" * 128, "Z" * 128, "a" + "-" * 127):
            values = self.values() | {"AWS::StackName": stack}
            ours = [resolved(each, values) for each in policy["PolicyDocument"]["Statement"]]
            attached = attach.merged({"policy": None, "notifications": {}}, ours, stack, "arn:role")["policy"]
            self.assertLess(len(json.dumps(attached).encode()), 20480)

    def test_an_example_manifest_fits_into_a_dry_run(self):
        manifest = json.loads((ROOT / "events/manifests/gateway.ota.json").read_text())
        self.assertTrue(self.admits("DryRunManifest", json.dumps(manifest)))
        self.assertTrue(
            self.admits("DryRunTags", "ota:thing-group=lab&ota:start=2026-12-01%2002:00&ota:retries=failed:2")
        )


if __name__ == "__main__":
    unittest.main(verbosity=2)
