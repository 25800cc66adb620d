"""A second device, with the AWS IoT Device SDK: it gets a job, fetches the image in JSON, and reports SUCCEEDED.

    witness.py THING PORT FOLDER

prints the job document, the description of its stream, and the code of a rejected request, each as a line of JSON. It
writes the image into the folder.
"""

import base64
import json
import queue
import sys
from concurrent.futures import Future
from pathlib import Path

from awscrt.mqtt import QoS
from awsiot import iotjobs, mqtt_connection_builder

SECONDS = 30
BLOCK = 4096
BLOCKS = 32


class Stream:
    """The topics of a stream. Its responses arrive in queues, by their kind."""

    def __init__(self, connection, thing, name):
        self.connection = connection
        self.prefix = f"$aws/things/{thing}/streams/{name}"
        self.responses = {kind: queue.Queue() for kind in ("description", "data", "rejected")}
        for kind, responses in self.responses.items():
            topic = f"{self.prefix}/{kind}/json"
            wait(connection.subscribe(topic, QoS.AT_LEAST_ONCE, lambda payload, into=responses, **_: into.put(payload)))

    def request(self, operation, **members):
        wait(self.connection.publish(f"{self.prefix}/{operation}/json", json.dumps(members), QoS.AT_MOST_ONCE))

    def response(self, kind):
        return json.loads(self.responses[kind].get(timeout=SECONDS))

    def file(self, number, size):
        """Returns the bytes of a file."""
        image = bytearray(size)
        blocks = -(-size // BLOCK)
        for offset in range(0, blocks, BLOCKS):
            self.request("get", f=number, l=BLOCK, o=offset, n=BLOCKS)
            for _ in range(min(BLOCKS, blocks - offset)):
                block = self.response("data")
                start = block["i"] * BLOCK
                image[start : start + block["l"]] = base64.b64decode(block["p"])
        return bytes(image)


def wait(published):
    """Waits for the future of a request. The packet ID may come with it."""
    future = published[0] if isinstance(published, tuple) else published
    return future.result(SECONDS)


def main(thing, port, folder):
    connection = mqtt_connection_builder.mtls_from_path(
        endpoint="localhost",
        port=int(port),
        cert_filepath=f"{folder}/certificate.pem",
        pri_key_filepath=f"{folder}/private-key.pem",
        ca_filepath=f"{folder}/ca.pem",
        client_id=thing,
        clean_session=True,
    )
    wait(connection.connect())
    jobs, started, updated = iotjobs.IotJobsClient(connection), Future(), Future()
    of_next = iotjobs.StartNextPendingJobExecutionSubscriptionRequest(thing_name=thing)
    wait(
        jobs.subscribe_to_start_next_pending_job_execution_accepted(
            of_next, QoS.AT_LEAST_ONCE, lambda response: started.set_result(response.execution)
        )
    )
    start = iotjobs.StartNextPendingJobExecutionRequest(thing_name=thing)
    wait(jobs.publish_start_next_pending_job_execution(start, QoS.AT_LEAST_ONCE))
    execution = started.result(SECONDS)
    print(json.dumps(execution.job_document))

    ota = execution.job_document["afr_ota"]
    stream = Stream(connection, thing, ota["streamname"])
    stream.request("describe", c="witness")
    print(json.dumps(description := stream.response("description")))
    stream.request("get", f=0, l=1)
    print(json.dumps(stream.response("rejected")["o"]))
    (file,) = description["r"]
    Path(folder, "image").write_bytes(stream.file(file["f"], file["z"]))

    of_job = iotjobs.UpdateJobExecutionSubscriptionRequest(thing_name=thing, job_id=execution.job_id)
    wait(jobs.subscribe_to_update_job_execution_accepted(of_job, QoS.AT_LEAST_ONCE, updated.set_result))
    update = iotjobs.UpdateJobExecutionRequest(thing_name=thing, job_id=execution.job_id, status="SUCCEEDED")
    wait(jobs.publish_update_job_execution(update, QoS.AT_LEAST_ONCE))
    updated.result(SECONDS)
    wait(connection.disconnect())


if __name__ == "__main__":
    main(*sys.argv[1:])
