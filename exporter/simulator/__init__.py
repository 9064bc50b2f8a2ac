"""A Nimble Studio API to run and test against: for the demo, for tests, and for anyone who builds a client.

`Fleet` is what there is (a pure function of a seed and the time), `create_app` the API that tells of it over HTTP, with
faults as they are asked for, and `running` a server for it in a thread.
"""

from exporter.simulator.api import create_app
from exporter.simulator.fleet import Fleet, FleetBackup, FleetStudio
from exporter.simulator.server import running

__all__ = ["Fleet", "FleetBackup", "FleetStudio", "create_app", "running"]
