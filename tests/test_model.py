"""Checks generated requests against the service models of boto3, and generated manifests against their schema.

`cargo test` writes both (tests/releases/requests.rs).
"""

import json
import re
import sys
import unittest
from collections import Counter
from pathlib import Path

import jsonschema
import regex
from botocore.loaders import Loader
from botocore.model import ServiceModel
from botocore.validate import ParamValidator

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "ops"))

from program import ROOT, TARGET

ENOUGH = 200
# Rules that a schema cannot express: members that exclude each other, and values that only S3 or a deployment knows.
NOT_IN_SCHEMA = re.compile(
    r"`(files\[\d+\]\.fileId` is \d+, which|files\[\d+\]\.filePath` is .*, which .* also has"
    r"|destinationPackageVersions\[\d+\]` names the package|tags\[\d+\]\.Key` is .*, which another tag has"
    r"|jobExecutionsRetryConfig\.criteriaList` is `(failed|timed-out):\d+ (failed|timed-out):\d+`)"
    r"|[0-9.]+, expected at most \d decimals|, expected a cron expression"
    # Validators differ in the classes of letters beyond ASCII.
    r"|letters, digits, spaces and ASCII punctuation$|\.Value` is |` requires HTTP, "
)
SERVICES = {"StartSigningJob": "signer", "CreateStream": "iot", "CreateJob": "iot"}


def violations(shape, value, path):
    """Yields each violation of a constraint that boto3 leaves to the service."""
    constraints = shape.metadata
    length = len(value) if shape.type_name in ("string", "list", "map") else value
    if shape.type_name not in ("structure", "boolean") and not (
        constraints.get("min", float("-inf")) <= length <= constraints.get("max", float("inf"))
    ):
        yield f"{path} is {value!r}, expected {constraints}"
    # Java's patterns match the whole value. Python's `re` does not support `\p{…}`.
    if "pattern" in constraints and not regex.fullmatch(constraints["pattern"], value):
        yield f"{path} is {value!r}, expected {constraints['pattern']}"
    if value not in constraints.get("enum", [value]):
        yield f"{path} is {value!r}, expected one of {constraints['enum']}"
    if shape.type_name == "structure":
        for name, member in value.items():
            yield from violations(shape.members[name], member, f"{path}.{name}")
    if shape.type_name == "list":
        for at, member in enumerate(value):
            yield from violations(shape.member, member, f"{path}[{at}]")
    if shape.type_name == "map":
        for name, member in value.items():
            yield from violations(shape.key, name, f"{path}.{name}")
            yield from violations(shape.value, member, f"{path}.{name}")


class Models(unittest.TestCase):
    def setUp(self):
        loader = Loader()
        models = {name: ServiceModel(loader.load_service_model(name, "service-2")) for name in set(SERVICES.values())}
        self.inputs = {name: models[service].operation_model(name).input_shape for name, service in SERVICES.items()}

    def problems(self, operation, parameters):
        shape = self.inputs[operation]
        report = ParamValidator().validate(parameters, shape)
        # Constraints apply only to values of the right shape.
        return [report.generate_report()] if report.has_errors() else list(violations(shape, parameters, operation))

    def test_every_generated_request_is_valid_by_the_service_models(self):
        requests = [json.loads(line) for line in (TARGET / "tmp/requests.jsonl").read_text().split("\n")[:-1]]
        counts = Counter(request["operation"] for request in requests)
        print(dict(counts))
        self.assertEqual(set(counts), set(SERVICES))
        self.assertGreaterEqual(min(counts.values()), ENOUGH)
        for request in requests:
            self.assertEqual(self.problems(request["operation"], request["parameters"]), [], request)
        members = Counter(
            name for request in requests for name in request["parameters"] if request["operation"] == "CreateJob"
        )
        unused = {"documentSource", "namespaceId", "jobTemplateArn", "documentParameters"}
        self.assertEqual(set(members), set(self.inputs["CreateJob"].members) - unused)

    def test_the_manifest_schema_accepts_what_the_function_accepts(self):
        schema = json.loads((ROOT / "src/manifest.schema.json").read_text())
        jsonschema.Draft202012Validator.check_schema(schema)
        validator = jsonschema.Draft202012Validator(schema)
        validator.validate(json.loads((ROOT / "events/manifests/gateway.ota.json").read_text()))
        cases = [json.loads(line) for line in (TARGET / "tmp/manifests.jsonl").read_text().split("\n")[:-1]]
        valid = Counter()
        for case in cases:
            # Only problems of members of the manifest, not of tags or job templates.
            reasons = [reason for reason in case["reasons"] or [] if reason.startswith("`")]
            reasons = [reason for reason in reasons if " of job template " not in reason]
            in_schema = [reason for reason in reasons if not NOT_IN_SCHEMA.search(reason)]
            if reasons and not in_schema:
                continue
            valid[validator.is_valid(case["manifest"])] += 1
            self.assertEqual(validator.is_valid(case["manifest"]), not in_schema, case)
        print(dict(valid))
        self.assertGreaterEqual(min(valid[True], valid[False]), ENOUGH / 4)

    def test_a_request_that_breaks_a_constraint_is_found(self):
        job = {"jobId": "a", "targets": ["arn"], "timeoutConfig": {"inProgressTimeoutInMinutes": 1}}
        self.assertEqual(self.problems("CreateJob", job), [])
        window = {"startTime": "cron(0 2 * * ? *)", "durationInMinutes": 1431}
        for member in (
            {"jobId": "a.b"},
            {"jobId": "a" * 65},
            {"targets": []},
            {"targets": ["a" * 2049]},
            {"description": "two\nlines"},
            {"targetSelection": "SOME"},
            {"timeoutConfig": {"inProgressTimeoutInMinutes": "1"}},
            {"jobExecutionsRetryConfig": {"criteriaList": [{"failureType": "ALL", "numberOfRetries": 11}]}},
            {"jobExecutionsRetryConfig": {"criteriaList": [{"failureType": "ALL"}]}},
            {"schedulingConfig": {"maintenanceWindows": [window]}},
            {"destinationPackageVersions": ["arn:aws:iot:größe"]},
            {"unknown": 1},
        ):
            self.assertNotEqual(self.problems("CreateJob", job | member), [], member)


if __name__ == "__main__":
    unittest.main(verbosity=2)
