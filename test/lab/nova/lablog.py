"""A filter in nova-api's pipeline, which writes down every action that was POSTed to a
server, whatever Nova then answers, in $LAB/actions.log:
    SECONDS UUID ACTION STATUS CLIENT
So tests can count how often a server was evacuated, which Nova itself does not say:
it takes two evacuations of one server without a word.
"""
import json
import os
import time

import webob.dec

LOG = os.path.join(os.environ.get("LAB", "/tmp/lifeboat-lab"), "actions.log")


class Filter:
    def __init__(self, app):
        self.app = app

    @webob.dec.wsgify
    def __call__(self, request):
        part = request.path_info.strip("/").split("/")
        if request.method != "POST" or len(part) < 3 or part[-1] != "action" or part[-3] != "servers":
            return request.get_response(self.app)
        try:
            action = ",".join(json.loads(request.body))
        except ValueError:
            action = "?"
        t, status = time.time(), "none"  # none: the client got no answer
        try:
            response = request.get_response(self.app)
            status = response.status_int
            return response
        finally:
            with open(LOG, "a") as f:
                f.write("%.3f %s %s %s %s\n" % (t, part[-2], action, status, request.client_addr))


def factory(global_conf, **local_conf):
    return Filter
