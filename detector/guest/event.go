package guest

import (
	"encoding/hex"
	"time"

	"github.com/digitalocean/go-libvirt"

	"github.com/lifeboat-ha/lifeboat/detector"
	"github.com/lifeboat-ha/lifeboat/nova"
)

// needed are the events without which there is no watch, wanted those that a driver may
// lack.
var (
	needed = []libvirt.DomainEventID{libvirt.DomainEventIDLifecycle}
	wanted = []libvirt.DomainEventID{libvirt.DomainEventIDWatchdog, libvirt.DomainEventIDIoErrorReason}
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
		ev.Server, ev.Kind = serverID(e.Msg.Dom.UUID), detector.GuestWatchdog
	case *libvirt.DomainEventCallbackIOErrorReasonMsg:
		ev.Server, ev.Kind, ev.Detail = serverID(e.Msg.Dom.UUID), detector.GuestIOError, e.Msg.DevAlias+" "+e.Msg.Reason
	}
	return ev, ev.Kind != ""
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
