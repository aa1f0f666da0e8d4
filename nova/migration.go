package nova

import "time"

// MigrationStatus is the status column of os-migrations.
type MigrationStatus string

// Statuses of an evacuation, in the order in which Nova passes through them.
const (
	MigrationAccepted     MigrationStatus = "accepted"
	MigrationPreMigrating MigrationStatus = "pre-migrating"
	MigrationDone         MigrationStatus = "done"
	// MigrationCompleted is written by the restarted source after clean-up.
	// It proves nothing by itself: a row that never ran becomes completed too.
	MigrationCompleted MigrationStatus = "completed"
	MigrationFailed    MigrationStatus = "failed"
	MigrationError     MigrationStatus = "error"
)

// Terminal says that the row will not move the server any more.
func (s MigrationStatus) Terminal() bool {
	switch s {
	case MigrationDone, MigrationCompleted, MigrationFailed, MigrationError:
		return true
	case MigrationAccepted, MigrationPreMigrating:
	}
	return false
}

// Types of migrations.
const (
	TypeEvacuation    = "evacuation"
	TypeLiveMigration = "live-migration"
	TypeResize        = "resize"
	TypeMigration     = "migration" // cold
)

// Fruitless says that it ended, and not well (objects/fields.py, MigrationStatus). Where
// it left its server, Stayed says.
func (s MigrationStatus) Fruitless() bool {
	return s == MigrationError || s == MigrationFailed || s == "cancelled" || s == "reverted"
}

// Stayed says of a row that takes a server away that it ended and left the server where
// it was. A live migration that was rolled back is failed or cancelled; it is called
// error where it was too late for that, and its guest may run at the other end
// (compute/manager.py, _do_live_migration). It never got there without a destination.
func (m Migration) Stayed() bool {
	if m.Type == TypeLiveMigration && m.Status == MigrationError {
		return m.Dest == ""
	}
	return m.Status.Fruitless()
}

// Migration is one row of os-migrations.
type Migration struct {
	ID        int
	UUID      string
	Server    ServerID
	Type      string
	Status    MigrationStatus
	Source    HostName
	Dest      HostName
	CreatedAt time.Time
	// UpdatedAt is zero while the row is as the API wrote it.
	UpdatedAt time.Time
}

// Claimed is the host that has taken the work on, "" if none is known to have. A row
// that is accepted bears the name of a host that was asked for, if any: the request
// may lie in that host's queue, and outlive its death there.
func (m Migration) Claimed() HostName {
	if m.Status == MigrationAccepted {
		return ""
	}
	return m.Dest
}

// NewestOf is a server's newest row, without an id if it has none.
func NewestOf(rows []Migration, id ServerID) (last Migration) {
	for _, m := range rows {
		if m.Server == id && m.ID > last.ID {
			last = m
		}
	}
	return last
}

// InstanceAction is one entry of a server's action log.
type InstanceAction struct {
	Action    string
	RequestID string
	StartedAt time.Time
	Message   string
}
