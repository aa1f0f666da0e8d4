package guest

import (
	"encoding/hex"
	"strings"
	"time"

	"github.com/digitalocean/go-libvirt"

	"github.com/lifeboat-ha/lifeboat/detector"
	"github.com/lifeboat-ha/lifeboat/nova"
)

// needed are the events without which there is no watch, wanted those that a driver may
// lack.
var (
	needed = []libvirt.DomainEventID{libvirt.DomainEventIDLifecycle}
	wanted = []libvirt.DomainEventID{libvirt.DomainEventIDWatchdog, libvirt.DomainEventIDIoErrorReason, libvirt.DomainEventIDAgentLifecycle}
)

// Event is what became of one instance.
type Event struct {
	Server nova.ServerID
	Kind   detector.GuestEnd
	Detail string
	At     time.Time
}

// serverID writes a UUID as Nova does.
func serverID(u libvirt.UUID) nova.ServerID {
	h := hex.EncodeToString(u[:])
	return nova.ServerID(h[:8] + "-" + h[8:12] + "-" + h[12:16] + "-" + h[16:20] + "-" + h[20:])
}

// read takes an event apart. It tells of an end that nobody has asked for; what a user or
// Nova has done (shut down, destroyed, migrated, saved) is none.
func (w *Watch) read(e any) (Event, bool) {
	ev := Event{At: w.o.Now()}
	switch e := e.(type) {
	case *libvirt.DomainEventCallbackLifecycleMsg:
		ev.Server = serverID(e.Msg.Dom.UUID)
		ev.Kind = lifecycle(libvirt.DomainEventType(e.Msg.Event), e.Msg.Detail)
	case *libvirt.DomainEventCallbackWatchdogMsg:
		ev.Server = serverID(e.Msg.Dom.UUID)
		ev.Kind, ev.Detail = ranOut(libvirt.DomainEventWatchdogAction(e.Msg.Action))
	case *libvirt.DomainEventCallbackIOErrorReasonMsg:
		ev.Server = serverID(e.Msg.Dom.UUID)
		ev.Kind, ev.Detail = storageFailed(libvirt.DomainEventIOErrorAction(e.Msg.Action), e.Msg.DevAlias, e.Msg.Reason)
	}
	return ev, ev.Kind != ""
}

// ranOut names what a guest's own watchdog does as it runs out. One that resets the guest
// has mended it already, and one that only counts or injects an interrupt leaves it to the
// guest (hw:watchdog_action of Nova: reset, poweroff, pause, none).
func ranOut(action libvirt.DomainEventWatchdogAction) (detector.GuestEnd, string) {
	switch action {
	case libvirt.DomainEventWatchdogPause:
		return detector.GuestWatchdog, "paused"
	case libvirt.DomainEventWatchdogPoweroff, libvirt.DomainEventWatchdogShutdown:
		return detector.GuestWatchdog, "powered off"
	case libvirt.DomainEventWatchdogNone, libvirt.DomainEventWatchdogReset, libvirt.DomainEventWatchdogDebug, libvirt.DomainEventWatchdogInjectnmi:
	}
	return "", ""
}

// storageFailed names an error that stopped a guest, or that it was told of. What is ignored
// is none.
func storageFailed(action libvirt.DomainEventIOErrorAction, device, reason string) (detector.GuestEnd, string) {
	word := map[libvirt.DomainEventIOErrorAction]string{libvirt.DomainEventIoErrorPause: "paused", libvirt.DomainEventIoErrorReport: "told to the guest"}[action]
	if word == "" {
		return "", ""
	}
	return detector.GuestIOError, strings.Join(strings.Fields(device+" "+reason), " ") + ", " + word
}

// lifecycle names the ends among lifecycle events (libvirt/libvirt-domain.h).
func lifecycle(event libvirt.DomainEventType, detail int32) detector.GuestEnd {
	switch event {
	case libvirt.DomainEventStopped:
		switch libvirt.DomainEventStoppedDetailType(detail) {
		case libvirt.DomainEventStoppedFailed:
			return detector.GuestFailed
		case libvirt.DomainEventStoppedCrashed:
			return detector.GuestCrashed
		default:
		}
	case libvirt.DomainEventCrashed:
		return detector.GuestPanicked
	default:
	}
	return ""
}
