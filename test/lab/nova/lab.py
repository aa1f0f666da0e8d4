"""Nova's fake virt driver with guests that are processes (guest.py) and a memory that
survives a power cut, as a hypervisor's definitions on its disk do.

compute_driver = lab.Driver, loaded through compute.py. What Nova sees:
  - a guest that is defined here is listed for ever, until Nova destroys it: so the
    compute that comes back finds the evacuated ones and cleans them up;
  - after a power cut every guest is defined and shut down;
  - after a crash of nova-compute alone its guests run on;
  - a live migration takes as long as `lab live` says, and fails where its destination
    dies; it ends the guest at its source before it starts elsewhere;
  - the disks are shared: an evacuated guest keeps its disk, and the host that lost
    it deletes nothing when it comes back.
"""
import json
import os
import signal
import time

from nova.compute import power_state
from nova import exception
from nova.virt import fake
from oslo_config import cfg

import guest


class Instance(fake.FakeInstance):
    """A guest defined on this host. Its state is whether its process runs."""

    def __init__(self, driver, name, uuid, pid=None):
        self.driver, self.name, self.uuid, self.pid = driver, name, uuid, pid
        self.process = None
        self.save()

    @property
    def path(self):
        return os.path.join(self.driver.definitions, self.uuid)

    def save(self):
        with open(self.path + ".new", "w") as f:
            json.dump({"name": self.name, "pid": self.pid}, f)
        os.rename(self.path + ".new", self.path)

    @property
    def state(self):
        if guest.running(self.pid, self.uuid, self.driver.host_name):
            return power_state.RUNNING
        return power_state.SHUTDOWN

    @state.setter
    def state(self, want):  # how the fake driver switches a guest
        if want == self.state:
            return
        if want == power_state.RUNNING:
            self.process = guest.start(self.uuid, self.driver.host_name)
            self.pid = self.process.pid
        else:
            self.stop()
            self.pid = None
        self.save()

    def stop(self):
        try:
            os.kill(self.pid, signal.SIGKILL)
        except (ProcessLookupError, TypeError):
            return
        if self.process:
            self.process.wait()
        while self.state == power_state.RUNNING:
            pass


class Driver(fake.FakeDriver):
    def __init__(self, virtapi, read_only=False):
        super().__init__(virtapi)
        self.host_name = cfg.CONF.host
        self.definitions = os.path.join(guest.LAB, "machines", self.host_name, "instances")
        os.makedirs(self.definitions, exist_ok=True)

    def init_host(self, host):
        super().init_host(host)
        for uuid in os.listdir(self.definitions):
            if uuid.endswith(".new"):
                continue
            with open(os.path.join(self.definitions, uuid)) as f:
                d = json.load(f)
            self.instances[uuid] = Instance(self, d["name"], uuid, d["pid"])

    def _define(self, instance, running):
        i = self.instances[instance.uuid] = Instance(self, instance.name, instance.uuid)
        if running:
            i.state = power_state.RUNNING

    def spawn(self, context, instance, image_meta, injected_files, admin_password, allocations,
              network_info=None, block_device_info=None, power_on=True, accel_info=None):
        super().spawn(context, instance, image_meta, injected_files, admin_password, allocations,
                      network_info, block_device_info, power_on, accel_info)
        self._define(instance, power_on)

    def finish_revert_migration(self, context, instance, network_info, migration,
                                block_device_info=None, power_on=True):
        self._define(instance, power_on)

    def resume_state_on_host_boot(self, context, instance, network_info, block_device_info=None):
        self.power_on(context, instance, network_info)

    def destroy(self, context, instance, network_info, block_device_info=None,
                destroy_disks=True, destroy_secrets=True):
        i = self.instances.get(instance.uuid)
        super().destroy(context, instance, network_info, block_device_info, destroy_disks, destroy_secrets)
        if i:
            i.stop()
            os.unlink(i.path)

    def live_migration(self, context, instance, dest, post_method, recover_method,
                       block_migration=False, migrate_data=None):
        try:  # how long one takes here
            with open(os.path.join(guest.LAB, "conf/live-seconds")) as f:
                until = time.time() + float(f.read())
        except FileNotFoundError:
            until = 0
        there = os.path.join(guest.LAB, "machines", dest, "boot_id")
        while time.time() < until and os.path.exists(there):
            time.sleep(0.1)
        if os.path.exists(there):
            post_method(context, instance, dest, block_migration, migrate_data)
        else:  # the guest stays, as where qemu loses its other end
            recover_method(context, instance, dest, migrate_data)

    def post_live_migration(self, context, instance, block_device_info, migrate_data=None):
        self.destroy(context, instance, None)  # at the source, before it starts at the other end

    def get_info(self, instance, use_cache=True):
        if instance.uuid not in self.instances:
            raise exception.InstanceNotFound(instance_id=instance.uuid)
        return fake.hardware.InstanceInfo(state=self.instances[instance.uuid].state)

    def instance_on_disk(self, instance):
        return True  # at the destination of an evacuation: yes, the shared disk is here

    def check_instance_shared_storage_local(self, context, instance):
        return None  # at the source that came back: shared, nothing to compare, nothing to delete
