"""Starts MiniStack with two features that it lacks: policies of event buses, and alarms on several metrics.

Such an alarm watches only the first of its metrics here.
"""

import sys

from ministack.app import main
from ministack.core import iam_evaluator
from ministack.services import eventbridge
from ministack.services.cloudformation import provisioners

alarm_on_one_metric = provisioners._cw_metric_alarm_record


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


if __name__ == "__main__":
    provisioners._cw_metric_alarm_record = alarm
    provisioners._RESOURCE_HANDLERS["AWS::Events::EventBusPolicy"] = {
        "create": lambda _, properties, __: put_bus_policy(properties),
        "update": lambda _, __, properties, ___: put_bus_policy(properties),
        "delete": lambda identifier, _: eventbridge._event_bus_policies.pop(identifier.partition("|")[0], None),
    }
    eventbridge.policy_of_bus = policy_of_bus
    iam_evaluator._RESOURCE_POLICY_LOOKUPS["events"] = ("eventbridge", "policy_of_bus")
    sys.exit(main())
