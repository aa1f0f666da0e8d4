package nova

import (
	"strings"
	"testing"
	"time"
)

// TestRemains: only a fault that is of this very evacuation, and of before its guest ran
// or of what libvirt's driver cleans up after, tells that nothing was left.
func TestRemains(t *testing.T) {
	ended := time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)
	trace := func(functions string) string {
		s := "Traceback (most recent call last):\n"
		for f := range strings.FieldsSeq(functions) {
			s += "  File \"nova/compute/manager.py\", line 1, in " + f + "\n    self.do()\n"
		}
		return s
	}
	const to = "rebuild_instance _do_rebuild_instance_with_claim "
	const do = to + "_do_rebuild_instance "
	const spawn = do + "_rebuild_default_impl spawn "
	qemu := "libvirt.libvirtError: internal error: process exited while connecting to monitor\n"
	for name, row := range map[string]struct {
		fault string
		code  int
		trace string
		age   time.Duration
		want  Remains
	}{
		"no fault":                        {"", 0, "", 0, RemainsUnknown},
		"words that say nothing":          {"MessagingTimeout", 500, "", 0, RemainsUnknown},
		"a fault of before":               {"Binding failed for port 1", 400, "", time.Minute, RemainsUnknown},
		"another conductor's clock":       {"Binding failed for port 1", 400, "", time.Second, RemainsRefused},
		"a claim":                         {"Build of instance 1 aborted: Insufficient compute resources", 500, trace(to), 0, RemainsRefused},
		"before the look for a guest":     {"MessagingTimeout", 500, trace(to + "rebuild_claim"), 0, RemainsRefused},
		"the look itself":                 {"HypervisorUnavailable", 500, trace(do + "_check_instance_exists instance_exists"), 0, RemainsRefused},
		"a guest is there":                {"Instance instance-00000001 already exists.", 500, trace(do + "_check_instance_exists"), 0, RemainsGuest},
		"a port":                          {"Binding failed for port 1", 400, "", 0, RemainsRefused},
		"its network":                     {"ConnectFailure", 500, trace(do + "setup_instance_network_on_host"), 0, RemainsNothing},
		"its volume":                      {"CinderConnectionFailed", 500, trace(do + "_rebuild_default_impl attach_block_devices"), 0, RemainsNothing},
		"its image":                       {"ImageUnacceptable", 500, trace(spawn + "_create_image"), 0, RemainsNothing},
		"QEMU refuses":                    {"libvirtError", 500, trace(spawn+"_create_guest_with_network _create_guest launch") + qemu, 0, RemainsNothing},
		"libvirt went away as QEMU began": {"libvirtError", 500, trace(spawn+"_create_guest_with_network _create_guest launch") + "end of file", 0, RemainsUnknown},
		"no word from Neutron":            {"Virtual Interface creation failed", 500, trace(spawn + "_create_guest_with_network"), 0, RemainsNothing},
		"its guest could not be resumed":  {"libvirtError", 500, trace(spawn + "_create_guest_with_network resume"), 0, RemainsUnknown},
		"while its guest was waited for":  {"HypervisorUnavailable", 500, trace(spawn + "wait _wait_for_boot get_info"), 0, RemainsUnknown},
		"after its guest ran":             {"MessagingTimeout", 500, trace(do + "save"), 0, RemainsUnknown},
		"as it was stopped again":         {"InstancePowerOffFailure", 500, trace(do + "stop_instance get_instance_nw_info"), 0, RemainsUnknown},
		"another operation":               {"MessagingTimeout", 500, trace("reboot_instance"), 0, RemainsUnknown},
	} {
		s := Server{Fault: row.fault, FaultCode: row.code, FaultTrace: row.trace}
		if row.fault != "" {
			s.FaultAt = ended.Add(time.Second - row.age)
		}
		if row.age > 0 {
			s.FaultAt = ended.Add(-row.age)
		}
		if got := s.Remains(ended); got != row.want {
			t.Errorf("%s: %q, want %q", name, got, row.want)
		}
	}
}

// TestStayed: a live migration that was too late to roll back may have arrived.
func TestStayed(t *testing.T) {
	for name, row := range map[string]struct {
		kind string
		s    MigrationStatus
		dest HostName
		want bool
	}{
		"rolled back":               {TypeLiveMigration, MigrationFailed, "cmp2", true},
		"cancelled":                 {TypeLiveMigration, "cancelled", "cmp2", true},
		"too late":                  {TypeLiveMigration, MigrationError, "cmp2", false},
		"no host was found":         {TypeLiveMigration, MigrationError, "", true},
		"a resize":                  {TypeResize, MigrationError, "cmp2", true},
		"under way":                 {TypeLiveMigration, "running", "cmp2", false},
		"it has arrived":            {TypeLiveMigration, MigrationCompleted, "cmp2", false},
		"a resize that is reverted": {TypeResize, "reverted", "cmp2", true},
	} {
		if got := (Migration{Type: row.kind, Status: row.s, Dest: row.dest}).Stayed(); got != row.want {
			t.Errorf("%s: %t", name, got)
		}
	}
}
