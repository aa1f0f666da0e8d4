package ledger

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/raft"
)

// Store is what one replica remembers, opened.
type Store struct {
	Log       raft.LogStore
	Stable    raft.StableStore
	Snapshots raft.SnapshotStore
	Close     func() error
}

// Stores opens a Store: once at a time.
type Stores interface {
	Open(log hclog.Logger) (*Store, error)
}

const (
	fileName   = "ledger.db"
	keepStates = 3
	lockWait   = 5 * time.Second
)

// Disk keeps everything in dir/ledger: the log and the vote in one bbolt file,
// the states in files of their own. Directories are 0700, files 0600, and a
// lock file keeps a second process out.
func Disk(dir string) Stores { return disk(filepath.Join(dir, "ledger")) }

type disk string

// Open takes the lock and opens, or makes, the files.
func (d disk) Open(log hclog.Logger) (*Store, error) {
	dir := string(d)
	for _, p := range []string{dir, filepath.Join(dir, "snapshots")} {
		if err := privateDir(p); err != nil {
			return nil, err
		}
	}
	unlock, err := lock(filepath.Join(dir, "lock"), lockWait)
	if err != nil {
		return nil, err
	}
	db, err := openFile(filepath.Join(dir, fileName))
	if err != nil {
		return nil, errors.Join(err, unlock())
	}
	closeAll := func() error { return errors.Join(db.Close(), unlock()) }
	snaps, err := raft.NewFileSnapshotStoreWithLogger(dir, keepStates, log)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("open the ledger's states in %s: %w", dir, err), closeAll())
	}
	return &Store{Log: db, Stable: db, Snapshots: privateSnapshots{snaps, filepath.Join(dir, "snapshots")}, Close: closeAll}, nil
}

// privateDir makes a directory and takes others' permissions away.
func privateDir(p string) error {
	if err := os.MkdirAll(p, 0o700); err != nil {
		return fmt.Errorf("make the ledger's directory: %w", err)
	}
	if err := os.Chmod(p, 0o700); err != nil {
		return fmt.Errorf("make the ledger's directory private: %w", err)
	}
	return nil
}

// lock takes the lock file, waiting for a process that is just ending.
func lock(path string, patience time.Duration) (func() error, error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open the ledger's lock: %w", err)
	}
	const step = 50 * time.Millisecond
	for ; ; patience -= step {
		err = syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		if err == nil {
			break
		}
		if patience <= 0 || !errors.Is(err, syscall.EWOULDBLOCK) {
			holder := make([]byte, 32)
			n, _ := f.ReadAt(holder, 0)
			f.Close()
			return nil, fmt.Errorf("lock %s, held by process %s: stop it first: %w", path, strings.TrimSpace(string(holder[:n])), err)
		}
		time.Sleep(step)
	}
	pid := fmt.Appendf(nil, "%d\n", os.Getpid())
	if err := errors.Join(f.Truncate(0), writeAt(f, pid)); err != nil {
		return nil, errors.Join(fmt.Errorf("write the ledger's lock: %w", err), f.Close())
	}
	return f.Close, nil
}

func writeAt(f *os.File, b []byte) error {
	_, err := f.WriteAt(b, 0)
	return err
}

// Memory keeps everything in memory, for tests and demonstrations. It survives
// Close: opened again, it is the disk of a replica that was restarted.
func Memory() Stores {
	store := raft.NewInmemStore()
	return &memory{log: store, snapshots: raft.NewInmemSnapshotStore()}
}

type memory struct {
	log       *raft.InmemStore
	snapshots *raft.InmemSnapshotStore
}

// Open gives the same store again.
func (m *memory) Open(hclog.Logger) (*Store, error) {
	return &Store{Log: m.log, Stable: m.log, Snapshots: m.snapshots, Close: func() error { return nil }}, nil
}

// privateSnapshots takes others' permissions away from what Raft's store makes:
// it knows no modes. The directory above is closed to others all the time.
type privateSnapshots struct {
	raft.SnapshotStore
	dir string
}

// Create begins a snapshot.
func (s privateSnapshots) Create(version raft.SnapshotVersion, index, term uint64, conf raft.Configuration,
	confIndex uint64, trans raft.Transport) (raft.SnapshotSink, error) {
	sink, err := s.SnapshotStore.Create(version, index, term, conf, confIndex, trans)
	if err != nil {
		return nil, err
	}
	return privateSink{sink, s.dir}, nil
}

type privateSink struct {
	raft.SnapshotSink
	dir string
}

// Close makes the snapshot durable.
func (s privateSink) Close() error {
	if err := s.SnapshotSink.Close(); err != nil {
		return err
	}
	err := filepath.WalkDir(s.dir, func(p string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		mode := fs.FileMode(0o600)
		if d.IsDir() {
			mode = 0o700
		}
		return os.Chmod(p, mode)
	})
	if errors.Is(err, fs.ErrNotExist) {
		return nil // an old one was reaped meanwhile
	}
	return err
}
