package nova

import (
	"slices"
	"strings"
	"time"
)

// Remains is what an evacuation that failed at its destination has left there, as far as
// the server's fault tells.
type Remains string

const (
	// RemainsUnknown is a guest that may run there: Nova goes on after the guest runs, and calls
	// what fails then by the same words (compute/manager.py, _do_rebuild_instance).
	RemainsUnknown Remains = ""
	// RemainsNothing is for certain: it failed before its guest ran, and none was there before.
	RemainsNothing Remains = "nothing"
	// RemainsRefused is nothing of this one: it failed before Nova looked whether a guest is there.
	RemainsRefused Remains = "refused"
	// RemainsGuest is one that Nova found there.
	RemainsGuest Remains = "guest"
)

// Functions of nova-compute in the traceback of a fault, and what QEMU's own refusal says.
var (
	inRebuild = frame("_do_rebuild_instance")
	inExists  = frame("_check_instance_exists")
	inImpl    = frame("_rebuild_default_impl")
	inSpawn   = frame("spawn")
	inLaunch  = frame("launch")
	inStop    = frame("stop_instance")
	early     = []string{
		frame("setup_networks_on_host"), frame("setup_instance_network_on_host"),
		frame("get_instance_nw_info"), frame("_get_instance_block_device_info"),
	}
	guestless = []string{frame("_create_image"), frame("_get_guest_xml"), frame("plug_vifs"), frame("_create_guest")}
	unstarted = []string{
		"process exited while connecting to monitor", "unexpectedly closed the monitor",
		"Cannot access storage file", "unsupported configuration",
	}
)

// frame is a function in a traceback of Python.
func frame(function string) string { return ", in " + function + "\n" }

// faultSlack is what the clocks of two conductors may differ by.
const faultSlack = 2 * time.Second

// Remains reads a server's fault, for an evacuation whose row ended at that time. Nova
// writes the row before the fault: an older one is of something else. The traceback is
// shown to administrators, for faults without a code of their own. What is not known for
// certain to be harmless is unknown.
func (s Server) Remains(ended time.Time) Remains {
	has := func(words ...string) bool {
		return slices.ContainsFunc(words, func(w string) bool { return strings.Contains(s.FaultTrace, w) })
	}
	switch {
	case s.FaultAt.IsZero() || s.FaultAt.Before(ended.Add(-faultSlack)):
		return RemainsUnknown
	case strings.HasPrefix(s.Fault, "Instance ") && strings.HasSuffix(s.Fault, " already exists."):
		return RemainsGuest
	case strings.HasPrefix(s.Fault, "Build of instance ") && strings.Contains(s.Fault, " aborted: "):
		return RemainsRefused // a claim, the late check of its group, an accelerator
	case s.FaultCode >= 400 && s.FaultCode < 500:
		return RemainsRefused // what others refuse: an image, a port, a volume
	case has(inExists), has(frame("rebuild_instance")) && !has(inRebuild):
		return RemainsRefused
	case has(inImpl) && !has(inSpawn), !has(inImpl) && has(inRebuild) && has(early...) && !has(inStop):
		return RemainsNothing
	case has(inImpl) && has(guestless...) && (!has(inLaunch) || has(unstarted...)):
		return RemainsNothing
	case has(inImpl) && s.Fault == "Virtual Interface creation failed":
		return RemainsNothing // its guest was still paused, and was ended
	}
	return RemainsUnknown
}
