"""Starts MiniStack, which has no alarms on the sum of several metrics: such an alarm watches the first of them."""

import sys

from ministack.app import main
from ministack.services.cloudformation import provisioners

alarm_on_one_metric = provisioners._cw_metric_alarm_record


def alarm(name, properties):
    metrics = [each["MetricStat"] for each in properties.get("Metrics") or [] if "MetricStat" in each]
    if not metrics:
        return alarm_on_one_metric(name, properties)
    first = {"Statistic": metrics[0]["Stat"], "Period": metrics[0]["Period"], **metrics[0]["Metric"]}
    return alarm_on_one_metric(name, properties | {"Metrics": None} | first)


if __name__ == "__main__":
    provisioners._cw_metric_alarm_record = alarm
    sys.exit(main())
