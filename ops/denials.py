"""Finds the statements of a bucket policy that deny a request of a release, or of the scheduled check of the bucket.

The function, Signer and AWS IoT send these requests. Answers are `True`, `False`, or `None` if they depend on values
that only the real request has.
"""

from dataclasses import dataclass
from fnmatch import fnmatchcase

# Condition keys that requests of a release lack. The function is not in a VPC.
NEVER_SENT = (
    "s3:x-amz-*",
    "s3:requestobjecttag*",
    "s3:object-lock-*",
    "s3:dataaccesspoint*",
    "s3:if-*",
    "aws:sourcevpc*",
    "aws:vpcsourceip",
    "aws:sourcearn",
    "aws:sourceaccount",
    "aws:multifactorauth*",
    "aws:calledvia*",
)

REASONS = {
    "s3:x-amz-server-side-encryption*": "a release sends no encryption header: the bucket's default encryption applies",
    "s3:x-amz-acl": "a release sends no ACL",
    "s3:x-amz-storage-class": "a release names no storage class",
    "s3:requestobjecttag*": "a release writes no tags",
    "aws:sourcevpc*": "the function is not in a VPC",
    "aws:vpcsourceip": "the function is not in a VPC",
}


@dataclass(frozen=True, eq=False)
class Request:
    """A request of a release. The value of a condition key is `None` if it is unknown."""

    by: str
    role: str
    action: str
    resource: str
    keys: dict

    def __str__(self):
        return f"{self.by}: {self.action} of {self.resource}"


def requests(values):
    """Yields each kind of request that a stack with these values sends to its bucket."""
    bucket = f"arn:{values['AWS::Partition']}:s3:::{values['BucketName']}"
    upload, signed = f"{bucket}/{values['UploadPrefix']}app.bin", f"{bucket}/{values['SignedPrefix']}{'0' * 32}/"
    common = {
        "aws:principalaccount": values["AWS::AccountId"],
        "aws:resourceaccount": values["AWS::AccountId"],
        "s3:resourceaccount": values["AWS::AccountId"],
        "aws:principaltype": "AssumedRole",
        "aws:principalisawsservice": "false",
        "aws:requestedregion": values["AWS::Region"],
        "aws:securetransport": "true",
        "aws:viaawsservice": "false",
        "s3:tlsversion": "1.2",
    }

    def request(by, action, resource, keys):
        role = values["OtaRole.Arn" if by == "AWS IoT" else "FunctionRole.Arn"]
        return Request(by, role, action, resource, common | {"aws:principalarn": role} | keys)

    # For S3, Signer acts with the permissions of the function:
    # https://docs.aws.amazon.com/IAM/latest/UserGuide/access_forward_access_sessions.html
    callers = {
        "the function": {},
        "Signer": {"aws:viaawsservice": "true"}
        | dict.fromkeys(["aws:calledvia", "aws:calledviafirst", "aws:calledvialast"]),
    }
    writes = [
        ("the function", f"{signed}release.json", {"s3:if-none-match": "*"}),
        ("the function", f"{signed}release.json", {}),
        ("the function", f"{signed}image", {"s3:x-amz-copy-source": None}),
        ("Signer", f"{signed}11111111-2222-4333-8444-555555555555", {}),
    ]
    for by, resource, keys in writes:
        yield request(by, "s3:PutObject", resource, callers[by] | keys)
    for action in ("s3:GetObject", "s3:GetObjectVersion"):
        for by, keys in callers.items():
            yield request(by, action, upload, keys)
        yield request("the function", action, f"{signed}release.json", {})
        yield request("AWS IoT", action, f"{signed}image", {})
    yield request("the function", "s3:GetObjectVersionTagging", upload, {})
    for action in ("s3:ListBucket", "s3:ListBucketVersions"):
        for prefix in (values["UploadPrefix"], values["SignedPrefix"]):
            yield request("the function", action, bucket, {"s3:prefix": prefix})
    for action in ("s3:GetBucketVersioning", "s3:GetBucketNotification", "s3:GetBucketPolicy"):
        yield request("the function", action, bucket, {})


def denials(statements, values):
    """Yields each statement that denies or may deny requests, with the requests, and whether the denial is certain."""
    for statement in statements:
        if statement["Effect"] != "Deny":
            continue
        answers = [(request, denies(statement, request)) for request in requests(values)]
        for certain in (True, None):
            denied = [request for request, answer in answers if answer is certain]
            if denied:
                yield statement, denied, bool(certain)
                break


def unmet_conditions(statement):
    """Returns the known reasons why a release does not meet the conditions of a statement."""
    keys = [key.lower() for keys in statement.get("Condition", {}).values() for key in keys]
    found = [reason for pattern, reason in REASONS.items() if any(fnmatchcase(key, pattern) for key in keys)]
    return "; ".join(dict.fromkeys(found))


def denies(statement, request):
    return every([principal(statement, request), scope(statement, request), conditions(statement, request)])


def every(answers):
    return False if False in answers else None if None in answers else True


def some(answers):
    return True if True in answers else None if None in answers else False


def negated(answer):
    return None if answer is None else not answer


def listed(value):
    return value if isinstance(value, list) else [value]


def matches(pattern, text):
    """Returns whether a text matches a pattern with `*` and `?`; unknown if the pattern has policy variables."""
    return None if "${" in pattern else fnmatchcase(text, pattern.replace("[", "[[]"))


def principal(statement, request):
    if "Principal" in statement:
        return named(statement["Principal"], request)
    # A session and its role are different principals.
    return True if named(statement["NotPrincipal"], request) is False else None


def named(principals, request):
    if principals == "*":
        return True
    account = request.keys["aws:principalaccount"]
    session = request.role.replace(":iam:", ":sts:").replace(":role/", ":assumed-role/")

    def is_named(each):
        if each in ("*", account, request.role) or each.endswith(f"::{account}:root"):
            return True
        return None if each.startswith(f"{session}/") else False

    return some([is_named(each) for each in listed(principals.get("AWS", []))])


def scope(statement, request):
    def covers(element, texts):
        if element in statement:
            return some([matches(*pair) for pair in texts(listed(statement[element]))])
        return negated(some([matches(*pair) for pair in texts(listed(statement[f"Not{element}"]))]))

    action = covers("Action", lambda patterns: [(each.lower(), request.action.lower()) for each in patterns])
    return every([action, covers("Resource", lambda patterns: [(each, request.resource) for each in patterns])])


def conditions(statement, request):
    return every(
        [
            condition(operator, key.lower(), [str(each) for each in listed(values)], request.keys)
            for operator, keys in statement.get("Condition", {}).items()
            for key, values in keys.items()
        ]
    )


def condition(operator, key, values, keys):
    """Returns whether a condition holds, by the rules of
    https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_elements_condition_operators.html
    """
    quantifier, _, operator = operator.lower().rpartition(":")
    if_exists, operator = operator.endswith("ifexists"), operator.removesuffix("ifexists")
    if key not in keys and not any(fnmatchcase(key, pattern) for pattern in NEVER_SENT):
        return None
    if operator == "null":
        return values[0].lower() == str(key not in keys).lower()
    negative, test = "not" in operator, OPERATORS.get(operator.replace("not", ""))
    if test is None:
        return None
    if key not in keys:
        return if_exists or quantifier == "forallvalues" or (negative and quantifier != "foranyvalue")
    if keys[key] is None:
        return None
    fits = some([test(keys[key], each) for each in values])
    return negated(fits) if negative else fits


OPERATORS = {
    "stringequals": lambda value, each: None if "${" in each else each == value,
    "stringequalsignorecase": lambda value, each: None if "${" in each else each.lower() == value.lower(),
    "stringlike": lambda value, each: matches(each, value),
    "arnequals": lambda value, each: matches(each, value),
    "arnlike": lambda value, each: matches(each, value),
    "bool": lambda value, each: each.lower() == value.lower(),
    # Only the lowest version of TLS is known.
    "numericlessthan": lambda value, each: False if float(each) <= float(value) else None,
}
