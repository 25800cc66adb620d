"""Runs `sam local invoke` with the complete log of the function.

SAM attaches to the output of the running container. Docker then loses the lines between those that it replays and those
that it streams. Docker's own log of the container has every line, so this program has SAM follow that log.
"""

import sys

from samcli.cli.main import cli
from samcli.local.docker.container import Container


def follow_log(self, stdout=None, stderr=None, event=None):
    lines = self.docker_client.containers.get(self.id).logs(stream=True, follow=True)
    self._write_container_output(((line, None) for line in lines), event=event, stdout=stdout, stderr=stderr)


if __name__ == "__main__":
    Container.wait_for_logs = follow_log
    sys.exit(cli())
