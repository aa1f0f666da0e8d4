#!/usr/bin/env python3
"""The Redfish BMC of one host: sushy-emulator with a systems driver of our own,
which asks `bmc-power` where the emulator's own drivers ask libvirt or Nova.

redfish.py HOST ADDRESS PORT UUID AUTH_FILE CERTIFICATE KEY STATE_DIR
"""
import logging
import os
import ssl
import subprocess
import sys

from sushy_tools.emulator import main as emulator
from sushy_tools.emulator.resources.systems import fakedriver
from sushy_tools import error

HOST, ADDRESS, PORT, UUID, AUTH, CERT, KEY, STATE = sys.argv[1:]
POWER = os.path.join(os.path.dirname(os.path.abspath(__file__)), "bmc-power")
COMMANDS = {"On": ("power", "1"), "ForceOn": ("power", "1"), "ForceOff": ("power", "0"),
            "GracefulShutdown": ("shutdown", "1"), "ForceRestart": ("reset", "1"),
            "GracefulRestart": ("reset", "1"), "Nmi": ("nmi", "1")}


def bmc_power(*args):
    r = subprocess.run([POWER, HOST, *args], stdout=subprocess.PIPE, stdin=subprocess.DEVNULL)
    if r.returncode:
        raise error.FishyError("the power of %s does not obey" % HOST)
    return r.stdout.decode()


class Driver(fakedriver.FakeDriver):
    def get_power_state(self, identity):
        self._get(identity)  # 404 for a system that is not ours
        return "On" if "power:1" in bmc_power("get", "power") else "Off"

    def set_power_state(self, identity, state):
        self._get(identity)
        if state not in COMMANDS:
            raise error.BadRequest("no such reset: %s" % state)
        bmc_power("set", *COMMANDS[state])


fakedriver.FakeDriver = Driver
emulator.app.configure(extra_config={
    "SUSHY_EMULATOR_FAKE_DRIVER": True,
    "SUSHY_EMULATOR_STATE_DIR": STATE,
    "SUSHY_EMULATOR_AUTH_FILE": AUTH,
    "SUSHY_EMULATOR_FEATURE_SET": "minimum",
    "SUSHY_EMULATOR_FAKE_SYSTEMS": [{"uuid": UUID, "name": HOST, "power_state": "Off", "nics": []}],
})
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain(CERT, KEY)
logging.getLogger("werkzeug").setLevel(logging.INFO)
emulator.app.run(host=ADDRESS, port=int(PORT), ssl_context=context, threaded=True)
