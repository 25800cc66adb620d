"""Starts MiniStack with features that it lacks: policies of event buses, alarms on several metrics, embedded images.

An alarm on several metrics watches only the first of them here. The signing platform AmazonFreeRTOS-Default embeds the
image in the signed object. AWS does not document the order of that object's members. The image is the first one here,
so that the function has to read all of it.

The trust policy of a role gets the source that AWS IoT names when it assumes the role of a stream. Presigned URLs in
job documents keep the version of the object. Only this machine reaches the broker.
"""

import asyncio
import base64
import dataclasses
import json
import re
import sys
from urllib.parse import parse_qsl, unquote, urlsplit

from ministack.app import main
from ministack.core import iam_evaluator, sigv4
from ministack.services import eventbridge, iot, signer, sts
from ministack.services.cloudformation import provisioners

# The session with which `broker.rs` assumes the role of a stream.
FILE_DELIVERY = "AWSIoT-file-delivery"

alarm_on_one_metric = provisioners._cw_metric_alarm_record
create_server = asyncio.BaseEventLoop.create_server
presigned = iot._jobs_presigned_document
trusts = iam_evaluator.evaluate_trust_policy
signing_key_of_iot, located_image = signer._signing_key, signer._iot_signed_object


def alarm(name, properties):
    metrics = [each["MetricStat"] for each in properties.get("Metrics") or [] if "MetricStat" in each]
    if not metrics:
        return alarm_on_one_metric(name, properties)
    first = {"Statistic": metrics[0]["Stat"], "Period": metrics[0]["Period"], **metrics[0]["Metric"]}
    return alarm_on_one_metric(name, properties | {"Metrics": None} | first)


def put_bus_policy(properties):
    bus, statement = properties["EventBusName"], properties["Statement"] | {"Sid": properties["StatementId"]}
    eventbridge._event_bus_policies[bus] = {"Version": "2012-10-17", "Statement": [statement]}
    return f"{bus}|{statement['Sid']}", {}


def policy_of_bus(arn):
    """Returns the policy of an event bus, and the account that owns it."""
    account, bus = arn.split(":")[4], arn.partition("event-bus/")[2]
    return eventbridge._event_bus_policies.get(bus), account


def trusts_with_source(document, caller, context=None):
    """Evaluates a trust policy. AWS IoT names its account and one of its resources as the source."""
    if context and context.service_context.get("sts:rolesessionname") == FILE_DELIVERY:
        account = context.principal_account
        source = {"aws:sourceaccount": account, "aws:sourcearn": f"arn:aws:iot:{context.region}:{account}:stream/any"}
        context = dataclasses.replace(context, service_context=context.service_context | source)
    return trusts(document, caller, context)


async def create_local_server(loop, factory, host=None, *arguments, **options):
    """Creates a server. MiniStack's broker would listen on all addresses of the machine."""
    return await create_server(loop, factory, "127.0.0.1" if host == "0.0.0.0" else host, *arguments, **options)


def presigned_with_versions(job):
    """Returns a job document with presigned URLs of versions. MiniStack takes the version for a part of the key."""
    return re.sub(r'https?://[^"?]*%3FversionId%3D[^"]*', with_version, presigned(job))


def with_version(match):
    url = urlsplit(match[0])
    path, _, version = unquote(url.path).partition("?versionId=")
    query = {name: value for name, value in parse_qsl(url.query) if name != "X-Amz-Signature"} | {"versionId": version}
    access_key, date, region, *_ = query["X-Amz-Credential"].split("/")
    request = sigv4.build_canonical_request("GET", path, {"host": url.netloc}, query, "host")
    to_sign = sigv4.build_string_to_sign(query["X-Amz-Date"], date, region, "s3", request)
    signature = sigv4.calculate_signature(sts._sessions[access_key]["SecretAccessKey"], date, region, "s3", to_sign)
    address = f"{url.scheme}://{url.netloc}{sigv4.uri_encode(path, encode_slash=False)}"
    return f"{address}?{sigv4.build_canonical_query_string(query)}&X-Amz-Signature={signature}"


class EmbeddingKey:
    """The key of a profile whose signed objects embed the image."""

    def __init__(self, key):
        self.key = key


def signing_key(profile):
    if profile["platformId"] == "AmazonFreeRTOS-Default":
        return EmbeddingKey(signer._acm_private_key(profile)[0])
    return signing_key_of_iot(profile)


def signed_object(key, image, *source):
    if not isinstance(key, EmbeddingKey):
        return located_image(key, image, *source)
    members = json.loads(located_image(key.key, image, *source))
    del members["payloadLocation"]
    return json.dumps({"payload": base64.b64encode(image).decode()} | members).encode()


if __name__ == "__main__":
    signer._signing_key, signer._iot_signed_object = signing_key, signed_object
    provisioners._cw_metric_alarm_record = alarm
    provisioners._RESOURCE_HANDLERS["AWS::Events::EventBusPolicy"] = {
        "create": lambda _, properties, __: put_bus_policy(properties),
        "update": lambda _, __, properties, ___: put_bus_policy(properties),
        "delete": lambda identifier, _: eventbridge._event_bus_policies.pop(identifier.partition("|")[0], None),
    }
    asyncio.BaseEventLoop.create_server = create_local_server
    iot._jobs_presigned_document = presigned_with_versions
    iam_evaluator.evaluate_trust_policy = trusts_with_source
    eventbridge.policy_of_bus = policy_of_bus
    iam_evaluator._RESOURCE_POLICY_LOOKUPS["events"] = ("eventbridge", "policy_of_bus")
    sys.exit(main())
