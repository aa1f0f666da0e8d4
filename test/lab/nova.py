#!/usr/bin/python3
"""Questions and commands to the lab's real Nova. Runs in the namespace lbctl: `lab` sees to that.

nova.py servers                  one line a server: ID NAME STATUS HOST TASK
nova.py services                 one line a compute: HOST STATUS STATE FORCED_DOWN REASON
nova.py boot HOST COUNT [PREFIX] [KEY=VALUE...]
                                 boot COUNT servers on HOST, without network; wait until ACTIVE. group= and flavor=
                                 are a server group's id and a flavor, all other keys metadata
nova.py stop ID...               stop these servers, wait until SHUTOFF
nova.py act ACTION ID...         pause suspend rescue shelve error lock: wait until no task is left
nova.py group NAME POLICY        make a server group: ID
nova.py flavor NAME DISK         make a flavor with so many GiB of disk; a host has 600000
nova.py provide HOST TRAIT CLASS N
                                 a provider below HOST's in Placement, with that trait and N of that class
nova.py enable|disable HOST      its nova-compute
nova.py migrations [HOST]        evacuations: ID SERVER SOURCE DEST STATUS
nova.py moves [HOST]             live migrations: ID SERVER SOURCE DEST STATUS CREATED UPDATED
nova.py floor HOST               the quickest recovery that this Nova allows: force down, evacuate all
                                 at once, wait until each is ACTIVE elsewhere
nova.py left HOST COUNT SECONDS  wait until COUNT servers are at work elsewhere and none is left on HOST,
                                 asking as often as floor does
nova.py reset                    delete all servers, enable every compute, clear every forced-down
nova.py actions NAME             how often the action NAME was POSTed, per server: ID COUNT
nova.py prepare COUNT            (lab up) image, flavor, and wait for COUNT computes
nova.py catalogue TYPE=URL...    (lab up) service users and endpoints, once
"""
import collections
import os
import sys
import time

from keystoneauth1 import identity, session

URL = os.environ.get("OS_AUTH_URL", "http://10.77.0.10:15000/v3")
PASSWORD = "lab-secret"
LAB = os.environ.get("LAB", "/tmp/lifeboat-lab")
S = session.Session(auth=identity.V3Password(URL, username="admin", password=PASSWORD, project_name="admin",
                                             user_domain_name="Default", project_domain_name="Default"))


def call(method, path, body=None, service="compute", version="compute 2.93", ok=(200, 201, 202, 204)):
    last = "?"
    for _ in range(5):
        try:
            r = S.request(path, method, json=body, raise_exc=False, timeout=120, authenticated=True,
                          endpoint_filter={"service_type": service, "region_name": "lab"},
                          headers={"OpenStack-API-Version": version} if version else {})
        except Exception as e:
            last = e
            time.sleep(0.3)
            continue
        if r.status_code in ok:
            try:
                return r.json() if r.content else {}
            except ValueError:
                return {}
        sys.exit("%s %s: %s %s" % (method, path, r.status_code, r.text[:300]))
    sys.exit(str(last))


def servers():
    out, marker = [], ""
    while True:
        page = call("GET", "/servers/detail?all_tenants=1&limit=1000" + marker)["servers"]
        out += page
        if len(page) < 1000:
            return out
        marker = "&marker=" + page[-1]["id"]


def services():
    return call("GET", "/os-services?binary=nova-compute")["services"]


def host(s):
    return s["OS-EXT-SRV-ATTR:host"]


def wait(what, test, seconds=180):
    t = time.time()
    while not test():
        if time.time() - t > seconds:
            sys.exit("gave up waiting for " + what)
        time.sleep(0.2)
    return time.time() - t


def placement(path):
    return call("GET", path, service="placement", version="placement 1.39")


def do_servers():
    for s in sorted(servers(), key=lambda s: s["name"]):
        print(s["id"], s["name"], s["status"], host(s) or "-", s["OS-EXT-STS:task_state"] or "-")


def do_services():
    for s in sorted(services(), key=lambda s: s["host"]):
        print(s["host"], s["status"], s["state"], str(s["forced_down"]).lower(), s.get("disabled_reason") or "-")


def do_boot(where, count, prefix=None, *keys):
    n, prefix = int(count), prefix or "vm-" + where
    keys = dict(k.split("=", 1) for k in keys)
    group, flavor = keys.pop("group", None), keys.pop("flavor", "lab-tiny")
    image = call("GET", "/v2/images?name=lab-image", service="image", version=None)["images"][0]["id"]
    before = {s["id"] for s in servers()}
    body = {"server": {"name": prefix, "imageRef": image, "flavorRef": flavor, "networks": "none", "metadata": keys,
                       "host": where, "min_count": n, "max_count": n}}
    if group:
        body["os:scheduler_hints"] = {"group": group}
    call("POST", "/servers", body)

    def booted():
        new = [s for s in servers() if s["id"] not in before and s["name"].startswith(prefix)]
        bad = [s for s in new if s["status"] == "ERROR"]
        if bad:
            sys.exit("booting failed: %s" % bad[0].get("fault", {}).get("message"))
        return sum(s["status"] == "ACTIVE" for s in new) >= n
    print("%d servers ACTIVE on %s after %.1f s" % (n, where, wait("servers", booted)))


def do_stop(*ids):
    for i in ids:
        call("POST", "/servers/%s/action" % i, {"os-stop": None})
    wait("servers to stop", lambda: all(s["status"] == "SHUTOFF" for s in servers() if s["id"] in ids))


ACTIONS = {"shelve": {"shelve": None}, "error": {"os-resetState": {"state": "error"}}, "rescue": {"rescue": {}}}


def do_act(action, *ids):
    for i in ids:
        call("POST", "/servers/%s/action" % i, ACTIONS.get(action, {action: None}))
    wait("servers to be at rest", lambda: not any(s["OS-EXT-STS:task_state"] for s in servers() if s["id"] in ids))


def do_group(name, policy):
    print(call("POST", "/os-server-groups", {"server_group": {"name": name, "policy": policy}})["server_group"]["id"])


def do_aggregate(name):
    for a in call("GET", "/os-aggregates")["aggregates"]:
        if a["name"] == name:
            for h in a["hosts"]:
                call("POST", "/os-aggregates/%s/action" % a["id"], {"remove_host": {"host": h}})
            call("DELETE", "/os-aggregates/%s" % a["id"])
    print(call("POST", "/os-aggregates", {"aggregate": {"name": name}})["aggregate"]["id"])


def do_provide(where, trait, resource_class, amount):
    def placement(method, path, body=None):
        return call(method, path, body, service="placement", version="placement 1.29")

    node = next(h["id"] for h in call("GET", "/os-hypervisors/detail")["hypervisors"] if h["service"]["host"] == where)
    placement("PUT", "/traits/" + trait)
    placement("PUT", "/resource_classes/" + resource_class)
    made = placement("POST", "/resource_providers", {"name": "%s-%d" % (where, time.time_ns()), "parent_provider_uuid": node})
    generation = placement("PUT", "/resource_providers/%s/inventories" % made["uuid"], {
        "resource_provider_generation": made["generation"], "inventories": {resource_class: {"total": int(amount)}}})["resource_provider_generation"]
    placement("PUT", "/resource_providers/%s/traits" % made["uuid"], {"resource_provider_generation": generation, "traits": [trait]})


def do_flavor(name, disk):
    if not any(f["id"] == name for f in call("GET", "/flavors")["flavors"]):
        call("POST", "/flavors", {"flavor": {"id": name, "name": name, "ram": 64, "disk": int(disk), "vcpus": 1}})


def switch(where, status):
    service = next(s for s in services() if s["host"] == where)
    call("PUT", "/os-services/" + service["id"], {"status": status})


def do_enable(where):
    switch(where, "enabled")


def do_disable(where):
    switch(where, "disabled")


def rows(kind, source):
    q = "&source_compute=" + source if source else ""
    for m in sorted(call("GET", "/os-migrations?migration_type=" + kind + q)["migrations"], key=lambda m: m["id"]):
        yield m, (m["id"], m["instance_uuid"], m["source_compute"], m["dest_compute"] or "-", m["status"])


def do_migrations(source=""):
    for _, row in rows("evacuation", source):
        print(*row)


def do_moves(source=""):
    for m, row in rows("live-migration", source):
        print(*row, m["created_at"], m["updated_at"] or "-")


def settled(s, left):
    # ACTIVE alone is no end: for seconds Nova shows that with the dead host still
    return s["status"] in ("ACTIVE", "SHUTOFF") and host(s) != left and not s["OS-EXT-STS:task_state"]


def do_left(where, count, seconds):
    def gone():
        all_ = servers()
        return not any(host(s) == where for s in all_) and sum(settled(s, where) for s in all_) >= int(count)
    wait("%s servers to leave %s" % (count, where), gone, float(seconds))


def do_floor(where):
    service = next(s for s in services() if s["host"] == where)
    mine = [s["id"] for s in servers() if host(s) == where]
    t = time.time()
    call("PUT", "/os-services/" + service["id"], {"forced_down": True})
    t1 = time.time()
    for i in mine:
        call("POST", "/servers/%s/action" % i, {"evacuate": {}})
    t2 = time.time()
    wait("the evacuation", lambda: all(settled(s, where) for s in servers() if s["id"] in mine))
    print("%d servers: forced down %.2f s, all accepted %.2f s, all ACTIVE elsewhere %.2f s"
          % (len(mine), t1 - t, t2 - t, time.time() - t))


def do_reset():
    for s in servers():
        call("DELETE", "/servers/" + s["id"], ok=(204, 404, 409))
    down = {s["host"]: s["id"] for s in services() if s["forced_down"]}

    def raised():  # refused while evacuations wait for the restarted compute to clean up
        for h, i in list(down.items()):
            if "badRequest" not in call("PUT", "/os-services/" + i, {"forced_down": False}, ok=(200, 400)):
                del down[h]
        return not down
    wait("computes to be forced up", raised, 90)
    for s in services():
        if s["status"] != "enabled":
            call("PUT", "/os-services/" + s["id"], {"status": "enabled"})
    wait("computes to be up", lambda: all(s["state"] == "up" for s in services()), 90)
    for s in servers():
        call("DELETE", "/servers/" + s["id"], ok=(204, 404, 409))
    wait("deletion", lambda: not servers())
    # a compute that was dead while it was disabled may report itself disabled for up to a minute yet
    wait("the scheduler to see every compute", lambda: not placement(
        "/resource_providers?required=COMPUTE_STATUS_DISABLED")["resource_providers"], 90)


def do_actions(name):
    count = collections.Counter()
    try:
        for line in open(os.path.join(LAB, "actions.log")):
            _, server, action, *_ = line.split()
            if action == name:
                count[server] += 1
    except FileNotFoundError:
        pass
    for server, n in sorted(count.items()):
        print(server, n)


def do_prepare(count):
    call("GET", "/v2.0/networks", service="network", version=None)
    images = call("GET", "/v2/images?name=lab-image", service="image", version=None)["images"]
    if not images:
        i = call("POST", "/v2/images", {"name": "lab-image", "disk_format": "raw", "container_format": "bare"},
                 service="image", version=None)["id"]
        S.put("/v2/images/%s/file" % i, data=bytes(1024), headers={"Content-Type": "application/octet-stream"},
              endpoint_filter={"service_type": "image", "region_name": "lab"})
    if not any(f["id"] == "lab-tiny" for f in call("GET", "/flavors")["flavors"]):
        call("POST", "/flavors", {"flavor": {"id": "lab-tiny", "name": "lab.tiny", "ram": 64, "disk": 0, "vcpus": 1}})
    # hypervisors are listed once Nova has mapped their hosts; placing needs them in Placement as well
    wait("%s computes" % count, lambda: len(call("GET", "/os-hypervisors")["hypervisors"]) >= int(count)
         and sum(s["state"] == "up" for s in services()) >= int(count)
         and len(placement("/resource_providers?resources=VCPU:1")["resource_providers"]) >= int(count), 120)


def do_catalogue(*endpoints):
    from keystoneclient.v3 import client
    k = client.Client(session=S, endpoint_override=URL)
    project, admin = k.projects.create("service", "default"), k.roles.find(name="admin")
    users = {"image": "glance", "placement": "placement", "network": "neutron", "compute": "nova"}
    for e in endpoints:
        kind, url = e.split("=", 1)
        k.roles.grant(admin, user=k.users.create(users[kind], domain="default", password=PASSWORD), project=project)
        s = k.services.create(users[kind], type=kind)
        for face in ("public", "internal", "admin"):
            k.endpoints.create(s, url, interface=face, region="lab")


verb = globals().get("do_" + (sys.argv[1:] or ["?"])[0])
if not verb:
    sys.exit(__doc__)
verb(*sys.argv[2:])
