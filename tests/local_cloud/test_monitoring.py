"""Tests the metrics, alarms, dashboard, queries and notifications of the deployed stack.

Two features that MiniStack lacks are replaced here: metrics from the log, and results on the event bus.
"""

import json
import re
import time
import unittest
from itertools import combinations, count

from samcli.yamlhelper import yaml_parse

from cloud import ACCOUNT, PROFILE_TO_COME, REGION, SIGNING_PROFILE, Cloud, self_signed_certificate
from test_template import HOSTILE

from program import ROOT, run
from stack import STACK, client

TAGS = "ota:thing-group=lab"
IMAGE = bytes(range(256)) * 16
NAMESPACE = "ota-on-upload"
# Metrics of AWS, by namespace and by the one dimension that is used here:
# https://docs.aws.amazon.com/lambda/latest/dg/monitoring-metrics-types.html and
# https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-available-cloudwatch-metrics.html
AWS_METRICS = {
    ("AWS/Lambda", "FunctionName"): {
        *("Invocations", "Errors", "Throttles", "Duration", "ConcurrentExecutions", "DestinationDeliveryFailures"),
    },
    ("AWS/SQS", "QueueName"): {"ApproximateNumberOfMessagesVisible", "ApproximateAgeOfOldestMessage"},
}
COLUMNS = 24
numbers = count()
INSIGHTS = {
    *("as", "asc", "bin", "by", "coalesce", "count", "desc", "fields", "filter", "in", "ispresent", "latest", "limit"),
    *("max", "parse", "pct", "sort", "stats"),
}


def invoke(event):
    """Returns the response of the function."""
    payload = json.dumps(event)
    answer = client("lambda").invoke(FunctionName=cloud.outputs["FunctionName"], Payload=payload)
    return json.load(answer["Payload"])


def metric_lines():
    """Returns the lines of the log that CloudWatch reads as metrics."""
    lines = [json.loads(line) for line in cloud.function_log() if line.startswith("{")]
    return [line for line in lines if "_aws" in line]


def metrics_in(line):
    """Yields the metrics that CloudWatch extracts from a line in embedded metric format."""
    for directive in line["_aws"]["CloudWatchMetrics"]:
        for names in directive["Dimensions"]:
            for metric in directive["Metrics"]:
                yield (
                    directive["Namespace"],
                    {
                        "MetricName": metric["Name"],
                        "Dimensions": [{"Name": name, "Value": line[name]} for name in names],
                        "Timestamp": line["_aws"]["Timestamp"] / 1000,
                        "Unit": metric["Unit"],
                        "Value": line[metric["Name"]],
                    },
                )


def identity(namespace, name, dimensions):
    return namespace, name, frozenset((each["Name"], each["Value"]) for each in dimensions)


def queue_on(topic):
    """Subscribes a new queue to a topic; returns the URL of the queue."""
    name = f"{topic.rpartition(':')[2][:60]}-{next(numbers)}"
    url = client("sqs").create_queue(QueueName=name)["QueueUrl"]
    arn = client("sqs").get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    allow = {"Effect": "Allow", "Principal": {"Service": "sns.amazonaws.com"}, "Action": "sqs:SendMessage"}
    allow |= {"Resource": arn, "Condition": {"ArnEquals": {"aws:SourceArn": topic}}}
    policy = json.dumps({"Version": "2012-10-17", "Statement": [allow]})
    client("sqs").set_queue_attributes(QueueUrl=url, Attributes={"Policy": policy})
    raw = {"RawMessageDelivery": "true"}
    client("sns").subscribe(TopicArn=topic, Protocol="sqs", Endpoint=arn, Attributes=raw)
    return url


def messages(queue, expected, seconds=10):
    """Returns the messages in a queue, once it has the expected number and no more arrive."""
    found, deadline = [], time.monotonic() + seconds
    while time.monotonic() < deadline:
        answer = client("sqs").receive_message(QueueUrl=queue, MaxNumberOfMessages=10, WaitTimeSeconds=1)
        found += [message["Body"] for message in answer.get("Messages", [])]
        if len(found) >= expected:
            deadline = min(deadline, time.monotonic() + 1)
    return found


def widget_metrics(widget):
    """Yields the metrics of a widget and of its searches, with name and value of each dimension."""
    before = []
    for metric in widget["properties"].get("metrics", []):
        if isinstance(metric[0], dict):
            search = re.fullmatch(
                r"SEARCH\('\{([^}]+)\} MetricName=\"(\w+)\" FunctionName=\"([^\"]+)\"', '(\w+)', \d+\)",
                metric[0]["expression"],
            )
            namespace, *dimensions = search[1].split(",")
            yield namespace, search[2], {name: search[3] if name == "FunctionName" else None for name in dimensions}
            continue
        names = [part for part in metric if isinstance(part, str)]
        if names == ["..."]:
            names = before
        before = names = [known if part == "." else part for part, known in zip(names, before or names, strict=True)]
        namespace, name, *dimensions = names
        yield namespace, name, dict(zip(dimensions[::2], dimensions[1::2], strict=True))


class Monitoring(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        """Has the deployed function produce each outcome once."""
        cls.function = cloud.outputs["FunctionName"]
        cls.queues = {cloud.outputs[name].rpartition("/")[2] for name in ("FailureQueueUrl", "NotificationQueueUrl")}
        key, versions = "firmware/blinky.bin", {}
        uploads = {
            "created": (key, TAGS),
            "rejected": ('firmware/bad "name".bin', f"{TAGS}&ota:retries=lots&ota:strat=now"),
            "skipped": ("firmware/untagged.bin", ""),
            "failed": ("firmware/failing.bin", f"{TAGS}&ota:signing-profile={PROFILE_TO_COME}"),
        }
        for outcome, (name, tags) in uploads.items():
            versions[outcome] = cloud.upload(name, IMAGE, tags)
            found = cloud.outcome(name, versions[outcome])
            if found["outcome"] != outcome:
                raise AssertionError(found)
        again = json.loads(cloud.notification(key, versions["created"]))
        cls.results = {
            "created": {"releases": [cls.result_of(key, versions["created"])]},
            "adopted": invoke(again),
            "rejected": invoke(json.loads(cloud.notification(uploads["rejected"][0], versions["rejected"]))),
            "skipped": invoke(json.loads(cloud.notification(uploads["skipped"][0], versions["skipped"]))),
        }
        cls.dry_run(uploads["skipped"][0], versions["skipped"])
        cls.refuse_a_signature()
        invoke({"count": "streams"})
        cls.discard()
        cls.lines = metric_lines()
        cls.reported_metrics = {
            identity(namespace, metric["MetricName"], metric["Dimensions"])
            for line in cls.lines
            for namespace, metric in metrics_in(line)
        }

    @classmethod
    def result_of(cls, key, version):
        """Returns the result of a release, from its log line."""
        line = cloud.outcome(key, version)
        members = ("outcome", "bucket", "key", "versionId", "jobId", "jobArn", "streamId")
        return {member: line[member] for member in members}

    @classmethod
    def dry_run(cls, key, version):
        """Tags an upload and releases it in a dry run, with the other settings of the stack."""
        tag_set = {"TagSet": [{"Key": "ota:thing-group", "Value": "lab"}]}
        bucket = cloud.outputs["BucketName"]
        client("s3").put_object_tagging(Bucket=bucket, Key=key, VersionId=version, Tagging=tag_set)
        event = json.loads(cloud.notification(key, version, "tagged-later.json"))
        functions = client("lambda")
        settings = functions.get_function_configuration(FunctionName=cls.function)["Environment"]["Variables"]
        for dry_run in ("true", "false"):
            variables = {"Variables": settings | {"DRY_RUN": dry_run}}
            functions.update_function_configuration(FunctionName=cls.function, Environment=variables)
            functions.get_waiter("function_updated_v2").wait(FunctionName=cls.function)
            if dry_run == "true":
                cls.results["dry-run"] = invoke(event)

    @classmethod
    def discard(cls):
        """Invokes the function with an event of the failure queue that is not an event of S3."""
        attributes = ["QueueArn"]
        queue = client("sqs").get_queue_attributes(QueueUrl=cloud.outputs["FailureQueueUrl"], AttributeNames=attributes)
        record = {"messageId": "1", "eventSource": "aws:sqs", "body": "no event", "awsRegion": REGION}
        invoke({"Records": [record | {"eventSourceARN": queue["Attributes"]["QueueArn"]}]})

    @classmethod
    def refuse_a_signature(cls):
        """Signs an image, replaces the certificate, and then releases the image with the signature."""
        key = "firmware/refused.bin"
        version = cloud.upload(key, IMAGE)
        cloud.outcome(key, version)
        bucket, signer = cloud.outputs["BucketName"], client("signer")
        source = {"s3": {"bucketName": bucket, "key": key, "version": version}}
        destination = {"s3": {"bucketName": bucket, "prefix": "SignedImage/by-hand/"}}
        job = signer.start_signing_job(source=source, destination=destination, profileName=SIGNING_PROFILE)["jobId"]
        arn = signer.get_signing_profile(profileName=SIGNING_PROFILE)["signingMaterial"]["certificateArn"]
        certificate, private_key = self_signed_certificate()
        client("acm").import_certificate(CertificateArn=arn, Certificate=certificate, PrivateKey=private_key)
        tags = {"ota:thing-group": "lab", "ota:signing-job": job}
        tag_set = {"TagSet": [{"Key": tag, "Value": value} for tag, value in tags.items()]}
        client("s3").put_object_tagging(Bucket=bucket, Key=key, VersionId=version, Tagging=tag_set)
        invoke(json.loads(cloud.notification(key, version, "tagged-later.json")))

    def check_metric(self, namespace, name, dimensions, where):
        """Fails unless the metric exists, for the function or a queue of this stack."""
        if namespace == NAMESPACE:
            known = {
                frozenset(dict(of).keys()) if None in dimensions.values() else of
                for space, metric, of in self.reported_metrics
                if (space, metric) == (namespace, name) and ("FunctionName", self.function) in of
            }
            wanted = dimensions.keys() if None in dimensions.values() else dimensions.items()
            self.assertIn(frozenset(wanted), known, f"{where}: {name}")
            return
        ((dimension, value),) = dimensions.items()
        self.assertIn(name, AWS_METRICS[namespace, dimension], where)
        self.assertIn(value, {"FunctionName": {self.function}, "QueueName": self.queues}[dimension], where)

    def test_each_outcome_is_counted_by_the_deployed_function(self):
        names = {name for namespace, name, of in self.reported_metrics if namespace == NAMESPACE and len(of) == 1}
        seconds = {f"{step}Seconds" for step in ("Inspect", "Preflight", "Signing", "Copy", "Stream", "Job")}
        outcomes = {"Created", "Adopted", "Skipped", "Rejected", "Failed", "DryRun"}
        self.assertEqual(names, outcomes | seconds | {"Verified", "SignatureRefused", "Streams", "Unreadable"})
        finals = [line for line in cloud.function_log() if '"outcome":' in line]
        counted = [line for line in self.lines if not {"Streams", "Unreadable"} & set(line)]
        self.assertEqual(len(counted), len(finals), "one line of metrics for each final log line")
        (streams,) = [line["Streams"] for line in self.lines if "Streams" in line]
        self.assertEqual(streams, len(cloud.creations()[1]))

    def test_every_alarm_watches_an_existing_metric_and_notifies_its_topic(self):
        alarms = client("cloudwatch").describe_alarms()["MetricAlarms"]
        self.assertEqual(len(alarms), 11)
        for alarm in alarms:
            name = alarm["AlarmName"]
            dimensions = {each["Name"]: each["Value"] for each in alarm["Dimensions"]}
            # MiniStack lacks alarms on several metrics: test_template.py checks this one.
            if alarm["Namespace"] != "AWS/Events":
                self.check_metric(alarm["Namespace"], alarm["MetricName"], dimensions, name)
            self.assertEqual(alarm["AlarmActions"], [cloud.outputs["AlarmTopicArn"]], name)
            self.assertIn(alarm["TreatMissingData"], ("notBreaching", "ignore"), name)
            self.assertTrue(alarm["AlarmDescription"].endswith("."), name)
        by_metric = {alarm["MetricName"]: alarm for alarm in alarms}
        timeout = client("lambda").get_function_configuration(FunctionName=self.function)["Timeout"]
        self.assertEqual(by_metric["Duration"]["Threshold"], 0.8 * timeout * 1000)
        self.assertEqual(by_metric["Streams"]["Threshold"], 8000)

    def test_the_metrics_of_the_function_raise_the_alarms(self):
        queue = queue_on(cloud.outputs["AlarmTopicArn"])
        cloudwatch = client("cloudwatch")
        for line in self.lines:
            for namespace, metric in metrics_in(line):
                cloudwatch.put_metric_data(Namespace=namespace, MetricData=[metric])
        rung = [json.loads(message) for message in messages(queue, 3)]
        rung = {each["Trigger"]["MetricName"] for each in rung if each["Trigger"]["Namespace"] == NAMESPACE}
        self.assertEqual(rung, {"Rejected", "SignatureRefused", "Unreadable"})

    def test_dashboard_widgets_do_not_overlap_and_show_existing_metrics(self):
        ((name),) = [entry["DashboardName"] for entry in client("cloudwatch").list_dashboards()["DashboardEntries"]]
        self.assertEqual(name, f"{STACK}-{REGION}")
        widgets = json.loads(client("cloudwatch").get_dashboard(DashboardName=name)["DashboardBody"])["widgets"]
        for widget in widgets:
            self.assertLessEqual(widget["x"] + widget["width"], COLUMNS, widget)
        for one, other in combinations(widgets, 2):
            apart = any(
                a[at] + a[size] <= b[at]
                for a, b in ((one, other), (other, one))
                for at, size in (("x", "width"), ("y", "height"))
            )
            self.assertTrue(apart, f"{one} overlaps {other}")
        covered = sum(widget["width"] * widget["height"] for widget in widgets)
        bottom = max(widget["y"] + widget["height"] for widget in widgets)
        self.assertEqual(covered, COLUMNS * bottom, "the dashboard has gaps")

        shown = [(each, widget) for widget in widgets for each in widget_metrics(widget)]
        for (namespace, metric, dimensions), widget in shown:
            self.check_metric(namespace, metric, dimensions, widget["properties"]["title"])
        alarms = {alarm["AlarmArn"] for alarm in client("cloudwatch").describe_alarms()["MetricAlarms"]}
        (listed,) = [widget["properties"]["alarms"] for widget in widgets if widget["type"] == "alarm"]
        self.assertEqual(set(listed), alarms)
        (log,) = [widget["properties"]["query"] for widget in widgets if widget["type"] == "log"]
        self.assertIn(f"SOURCE '{cloud.outputs['LogGroupName']}'", log)
        self.check_query(log)

    def test_saved_queries_use_only_members_of_the_log(self):
        # MiniStack does not support saved queries.
        resources = yaml_parse((ROOT / "template.yaml").read_text())["Resources"].values()
        queries = [each["Properties"] for each in resources if each["Type"] == "AWS::Logs::QueryDefinition"]
        self.assertEqual(len(queries), 5)
        for query in queries:
            self.assertEqual(query["LogGroupNames"], [{"Ref": "LogGroup"}])
            self.check_query(query["QueryString"])

    def check_query(self, query):
        lines = [json.loads(line) for line in cloud.function_log() if line.startswith("{")]
        logged = {member for line in lines for member in line}
        text = re.sub(r"#.*|SOURCE '[^']*'|\"[^\"]*\"|'[^']*'|/.*?/|@\w+|\d\w*", " ", query)
        named = set(re.findall(r"(?:as|by) (\w+)", text))
        members = set(re.findall(r"[A-Za-z]\w*", text)) - INSIGHTS - named - {"step", "hour"}
        self.assertTrue(members, query)
        self.assertEqual(members - logged, set(), query)

    def test_only_created_and_rejected_releases_are_published(self):
        config = client("lambda").get_function_event_invoke_config(FunctionName=self.function, Qualifier="$LATEST")
        bus = client("events").describe_event_bus(Name=cloud.outputs["ReleaseBusName"])
        self.assertEqual(config["DestinationConfig"]["OnSuccess"]["Destination"], bus["Arn"])
        queue = queue_on(cloud.outputs["ReleaseTopicArn"])
        # A condition can hold on MiniStack, but never for EventBridge:
        # https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-use-resource-based.html#eb-sns-permissions
        topic = client("sns").get_topic_attributes(TopicArn=cloud.outputs["ReleaseTopicArn"])
        for statement in json.loads(topic["Attributes"]["Policy"])["Statement"]:
            self.assertNotIn("Condition", statement)
        entries = [self.entry(result) for result in self.results.values()]
        # An attempt created this job and then failed.
        entries.append(self.entry(self.results["adopted"], attempt=2))
        for entry in entries:
            put = client("events").put_events(Entries=[entry])
            self.assertEqual(put["FailedEntryCount"], 0, put)
        published = [json.loads(text) for text in messages(queue, 3)]
        titles = sorted(each["message"].split(":")[0] for each in published)
        self.assertEqual(titles, ["CREATED", "CREATED", "REJECTED"])
        results = [self.results[outcome]["releases"] for outcome in ("created", "adopted", "rejected")]
        self.assertCountEqual([each["releases"] for each in published], results)

    def test_releases_with_any_key_and_any_reason_are_published(self):
        queue = queue_on(cloud.outputs["ReleaseTopicArn"])
        releases = [
            {"outcome": "rejected", "key": f"firmware/{text}", "versionId": str(number), "reasons": [text, "a"]}
            for number, text in enumerate(HOSTILE)
        ]
        for release in releases:
            client("events").put_events(Entries=[self.entry({"releases": [release]})])
        published = [json.loads(text)["releases"] for text in messages(queue, len(releases), 60)]
        self.assertCountEqual(published, [[release] for release in releases])

    def entry(self, result, attempt=1):
        """Returns a result as Lambda puts it onto a bus:
        https://docs.aws.amazon.com/lambda/latest/dg/invocation-async-retain-records.html
        """
        detail = {
            "version": "1.0",
            "timestamp": "2026-11-23T21:40:00.000Z",
            "requestContext": {
                "requestId": "11111111-2222-4333-8444-555555555555",
                "functionArn": f"{cloud.outputs['FunctionArn']}:$LATEST",
                "condition": "Success",
                "approximateInvokeCount": attempt,
            },
            "requestPayload": {"Records": []},
            "responseContext": {"statusCode": 200, "executedVersion": "$LATEST"},
            "responsePayload": result,
        }
        return {
            "Source": "lambda",
            "DetailType": "Lambda Function Invocation Result - Success",
            "Detail": json.dumps(detail),
            "EventBusName": cloud.outputs["ReleaseBusName"],
        }

    def test_the_role_may_put_results_only_on_this_bus(self):
        roles = client("lambda").get_function_configuration(FunctionName=self.function)["Role"]
        simulate = client("iam").simulate_principal_policy
        bus = f"arn:aws:events:{REGION}:{ACCOUNT}:event-bus"
        for resource, expected in ((f"{bus}/{cloud.outputs['ReleaseBusName']}", True), (f"{bus}/default", False)):
            answer = simulate(PolicySourceArn=roles, ActionNames=["events:PutEvents"], ResourceArns=[resource])
            (result,) = answer["EvaluationResults"]
            self.assertEqual(result["EvalDecision"] == "allowed", expected, resource)


def main():
    global cloud
    with Cloud() as cloud:
        cloud.with_stack(AllowedSigningProfiles=PROFILE_TO_COME)
        return not unittest.main(verbosity=2, exit=False).result.wasSuccessful()


if __name__ == "__main__":
    run(main)
