package detector

// GuestEnd is an end of an instance, or what may become one, that nobody has asked for.
type GuestEnd string

// Ends, as libvirt tells them.
const (
	// GuestFailed: its process (QEMU) died.
	GuestFailed GuestEnd = "failed"
	// GuestCrashed and GuestPanicked: its kernel told of its own crash (pvpanic), and its
	// process was ended, or stands still.
	GuestCrashed  GuestEnd = "crashed"
	GuestPanicked GuestEnd = "panicked"
	// GuestWatchdog: its own watchdog has run out. GuestIOError: its storage failed it.
	GuestWatchdog GuestEnd = "watchdog"
	GuestIOError  GuestEnd = "io-error"
)

// GuestEnds lists them.
var GuestEnds = []GuestEnd{GuestFailed, GuestCrashed, GuestPanicked, GuestWatchdog, GuestIOError}
