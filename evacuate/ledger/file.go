package ledger

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/hashicorp/raft"
	"go.etcd.io/bbolt"
)

// file is Raft's log and vote in one bbolt file. Every write is one transaction
// that is on disk, whole, when it returns. See DESIGN.md for why it is not
// raft-wal.
type file struct{ db *bbolt.DB }

var (
	bucketLog    = []byte("log")    // index, big-endian: entry
	bucketStable = []byte("stable") // Raft's vote and term, and names of ours
	bucketAbout  = []byte("about")  // what this file is
	keyFormat    = []byte("format")
)

const logFormat = 1

// openFile opens the file, or makes it: beside its place first, since a file
// that was cut short by a crash could never be opened.
func openFile(path string) (*file, error) {
	if _, err := os.Lstat(path); errors.Is(err, fs.ErrNotExist) {
		if err := makeFile(path); err != nil {
			return nil, err
		}
	}
	db, err := openBolt(path)
	if err != nil {
		return nil, fmt.Errorf("open the ledger in %s: %w", path, err)
	}
	f := &file{db}
	if err := f.checkFormat(); err != nil {
		return nil, errors.Join(fmt.Errorf("%s: %w", path, err), db.Close())
	}
	return f, nil
}

func openBolt(path string) (*bbolt.DB, error) {
	return bbolt.Open(path, 0o600, &bbolt.Options{
		Timeout: time.Second, // bbolt's own lock; ours has been taken
		// A whole ledger fits: the file is then never mapped anew under readers.
		InitialMmapSize: 64 << 20,
		FreelistType:    bbolt.FreelistMapType,
	})
}

func makeFile(path string) error {
	temporary := path + ".new"
	if err := os.Remove(temporary); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("make the ledger: %w", err)
	}
	db, err := openBolt(temporary)
	if err != nil {
		return fmt.Errorf("make the ledger: %w", err)
	}
	err = db.Update(func(tx *bbolt.Tx) error {
		for _, name := range [][]byte{bucketLog, bucketStable, bucketAbout} {
			if _, err := tx.CreateBucket(name); err != nil {
				return err
			}
		}
		return tx.Bucket(bucketAbout).Put(keyFormat, number(logFormat))
	})
	if err := errors.Join(err, db.Close()); err != nil {
		return fmt.Errorf("make the ledger: %w", err)
	}
	if err := os.Rename(temporary, path); err != nil {
		return fmt.Errorf("make the ledger: %w", err)
	}
	// Without this the new name may be lost with the power.
	dir, err := os.Open(filepath.Dir(path))
	if err != nil {
		return fmt.Errorf("make the ledger: %w", err)
	}
	if err := errors.Join(dir.Sync(), dir.Close()); err != nil {
		return fmt.Errorf("make the ledger durable: %w", err)
	}
	return nil
}

func (f *file) checkFormat() error {
	return f.db.View(func(tx *bbolt.Tx) error {
		about := tx.Bucket(bucketAbout)
		if about == nil || tx.Bucket(bucketLog) == nil || tx.Bucket(bucketStable) == nil {
			return fmt.Errorf("%w: this is no ledger", ErrCorrupt)
		}
		if got := about.Get(keyFormat); len(got) != 8 || binary.BigEndian.Uint64(got) != logFormat {
			return fmt.Errorf("the ledger is of format %x, this program knows %d", got, logFormat)
		}
		return nil
	})
}

// Close closes the file.
func (f *file) Close() error { return f.db.Close() }

func number(n uint64) []byte { return binary.BigEndian.AppendUint64(nil, n) }

// FirstIndex is that of the first entry, 0 if there is none.
func (f *file) FirstIndex() (uint64, error) { return f.end((*bbolt.Cursor).First) }

// LastIndex is that of the last entry, 0 if there is none.
func (f *file) LastIndex() (uint64, error) { return f.end((*bbolt.Cursor).Last) }

func (f *file) end(seek func(*bbolt.Cursor) (key, value []byte)) (index uint64, err error) {
	err = f.db.View(func(tx *bbolt.Tx) error {
		if key, _ := seek(tx.Bucket(bucketLog).Cursor()); key != nil {
			index = binary.BigEndian.Uint64(key)
		}
		return nil
	})
	return index, err
}

// GetLog reads one entry and verifies it.
func (f *file) GetLog(index uint64, log *raft.Log) error {
	return f.db.View(func(tx *bbolt.Tx) error {
		value := tx.Bucket(bucketLog).Get(number(index))
		if value == nil {
			return raft.ErrLogNotFound
		}
		return decodeLog(value, index, log)
	})
}

// StoreLog stores one entry.
func (f *file) StoreLog(log *raft.Log) error { return f.StoreLogs([]*raft.Log{log}) }

// StoreLogs stores entries: all, or none.
func (f *file) StoreLogs(logs []*raft.Log) error {
	return f.db.Update(func(tx *bbolt.Tx) error {
		b := tx.Bucket(bucketLog)
		b.FillPercent = 0.9 // keys come in order
		for _, log := range logs {
			if err := b.Put(number(log.Index), encodeLog(log)); err != nil {
				return err
			}
		}
		return nil
	})
}

// DeleteRange drops the entries from low to high, both included.
func (f *file) DeleteRange(low, high uint64) error {
	return f.db.Update(func(tx *bbolt.Tx) error {
		c := tx.Bucket(bucketLog).Cursor()
		// A cursor that has deleted may skip a key: so it seeks each anew.
		for key, _ := c.Seek(number(low)); key != nil && binary.BigEndian.Uint64(key) <= high; key, _ = c.Seek(number(low)) {
			if err := c.Delete(); err != nil {
				return err
			}
		}
		return nil
	})
}

// Set stores a value.
func (f *file) Set(key, value []byte) error {
	return f.db.Update(func(tx *bbolt.Tx) error { return tx.Bucket(bucketStable).Put(key, value) })
}

// Get reads a value, nil if there is none.
func (f *file) Get(key []byte) (value []byte, err error) {
	err = f.db.View(func(tx *bbolt.Tx) error {
		value = append(value, tx.Bucket(bucketStable).Get(key)...)
		return nil
	})
	return value, err
}

// SetUint64 stores a number.
func (f *file) SetUint64(key []byte, value uint64) error { return f.Set(key, number(value)) }

// GetUint64 reads a number, 0 if there is none.
func (f *file) GetUint64(key []byte) (uint64, error) {
	value, err := f.Get(key)
	switch {
	case err != nil || value == nil:
		return 0, err
	case len(value) != 8:
		return 0, fmt.Errorf("%w: %s is no number", ErrCorrupt, key)
	}
	return binary.BigEndian.Uint64(value), nil
}

// An entry on disk: CRC-32C of what follows and of the index, type, term, time,
// length of the extensions, extensions, data.
const logHeader = 4 + 1 + 8 + 8 + 4

func encodeLog(log *raft.Log) []byte {
	b := make([]byte, logHeader, logHeader+len(log.Extensions)+len(log.Data))
	b[4] = byte(log.Type)
	binary.BigEndian.PutUint64(b[5:], log.Term)
	var at int64
	if !log.AppendedAt.IsZero() {
		at = log.AppendedAt.UnixNano()
	}
	binary.BigEndian.PutUint64(b[13:], uint64(at))
	binary.BigEndian.PutUint32(b[21:], uint32(len(log.Extensions)))
	b = append(append(b, log.Extensions...), log.Data...)
	binary.BigEndian.PutUint32(b, logSum(b, log.Index))
	return b
}

func logSum(b []byte, index uint64) uint32 {
	return crc32.Update(crc32.Checksum(b[4:], castagnoli), castagnoli, number(index))
}

func decodeLog(b []byte, index uint64, log *raft.Log) error {
	if len(b) < logHeader || binary.BigEndian.Uint32(b) != logSum(b, index) {
		return fmt.Errorf("%w: entry %d is damaged on this disk", ErrCorrupt, index)
	}
	extensions := int(binary.BigEndian.Uint32(b[21:]))
	if extensions > len(b)-logHeader {
		return fmt.Errorf("%w: entry %d is damaged on this disk", ErrCorrupt, index)
	}
	*log = raft.Log{Index: index, Term: binary.BigEndian.Uint64(b[5:]), Type: raft.LogType(b[4])}
	if at := int64(binary.BigEndian.Uint64(b[13:])); at != 0 {
		log.AppendedAt = time.Unix(0, at)
	}
	// Copies: the file's pages are gone with the transaction.
	rest := b[logHeader:]
	log.Extensions = append(log.Extensions, rest[:extensions]...)
	log.Data = append(log.Data, rest[extensions:]...)
	return nil
}
