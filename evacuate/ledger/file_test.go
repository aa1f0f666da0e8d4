package ledger

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/raft"
	"go.etcd.io/bbolt"
)

// TestFileAgainstModel: random appends, truncations at both ends and restarts
// leave in the file what they leave in a plain map.
func TestFileAgainstModel(t *testing.T) {
	for seed := range uint64(20) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			r := rand.New(rand.NewPCG(seed, 1))
			path := filepath.Join(t.TempDir(), fileName)
			f, err := openFile(path)
			if err != nil {
				t.Fatal(err)
			}
			defer func() { f.Close() }()
			model := map[uint64]raft.Log{}
			first, last := uint64(1), uint64(0)
			for range 60 {
				switch op := r.IntN(10); {
				case op < 6: // append, sometimes beyond a gap, as after a restore
					if len(model) == 0 && r.IntN(2) == 0 {
						last += uint64(r.IntN(100))
						first = last + 1
					}
					var logs []*raft.Log
					for range 1 + r.IntN(20) {
						last++
						l := raft.Log{Index: last, Term: uint64(r.IntN(9)), Type: raft.LogType(r.IntN(5)),
							Data: bytes.Repeat([]byte{byte(last)}, r.IntN(300)), AppendedAt: time.Unix(int64(last), 5)}
						model[last] = l
						logs = append(logs, &l)
					}
					if err := f.StoreLogs(logs); err != nil {
						t.Fatal(err)
					}
				case op < 9 && len(model) > 0: // truncate one end, or all
					low, high := first, first+uint64(r.IntN(len(model)))
					if op == 8 {
						low, high = last-uint64(r.IntN(len(model))), last
					}
					if err := f.DeleteRange(low, high); err != nil {
						t.Fatal(err)
					}
					for i := low; i <= high; i++ {
						delete(model, i)
					}
					if low == first {
						first = high + 1
					} else {
						last = low - 1
					}
				default:
					if err := f.Close(); err != nil {
						t.Fatal(err)
					}
					if f, err = openFile(path); err != nil {
						t.Fatal(err)
					}
				}
				compareModel(t, f, model, first, last)
			}
		})
	}
}

func compareModel(t *testing.T, f *file, model map[uint64]raft.Log, first, last uint64) {
	t.Helper()
	gotFirst, err1 := f.FirstIndex()
	gotLast, err2 := f.LastIndex()
	if len(model) == 0 {
		first, last = 0, 0
	}
	if gotFirst != first || gotLast != last || err1 != nil || err2 != nil {
		t.Fatalf("from %d to %d, want %d to %d, %v %v", gotFirst, gotLast, first, last, err1, err2)
	}
	for i := first; i <= last && last > 0; i++ {
		var got raft.Log
		want := model[i]
		if err := f.GetLog(i, &got); err != nil || got.Index != i || got.Term != want.Term || got.Type != want.Type ||
			!bytes.Equal(got.Data, want.Data) || !got.AppendedAt.Equal(want.AppendedAt) {
			t.Fatalf("entry %d: %+v, want %+v, %v", i, got, want, err)
		}
	}
	var none raft.Log
	if err := f.GetLog(last+1, &none); !errors.Is(err, raft.ErrLogNotFound) {
		t.Fatalf("beyond the end: %v", err)
	}
}

func TestFileKeepsNames(t *testing.T) {
	path := filepath.Join(t.TempDir(), fileName)
	f, err := openFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if b, err := f.Get([]byte("vote")); b != nil || err != nil {
		t.Errorf("nothing: %q %v", b, err)
	}
	if n, err := f.GetUint64([]byte("term")); n != 0 || err != nil {
		t.Errorf("nothing: %d %v", n, err)
	}
	if err := errors.Join(f.Set([]byte("vote"), []byte("c1")), f.SetUint64([]byte("term"), 7), f.Close()); err != nil {
		t.Fatal(err)
	}
	if f, err = openFile(path); err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	vote, err1 := f.Get([]byte("vote"))
	term, err2 := f.GetUint64([]byte("term"))
	if string(vote) != "c1" || term != 7 || err1 != nil || err2 != nil {
		t.Errorf("%q %d %v %v", vote, term, err1, err2)
	}
	if _, err := f.GetUint64([]byte("vote")); !errors.Is(err, ErrCorrupt) {
		t.Errorf("no number: %v", err)
	}
}

func TestFileRefuses(t *testing.T) {
	for name, test := range map[string]struct {
		spoil func(path string) error
		want  string
	}{
		"rubbish":   {func(p string) error { return os.WriteFile(p, bytes.Repeat([]byte("x"), 1<<16), 0o600) }, "open the ledger"},
		"cut short": {func(p string) error { return os.Truncate(p, 100) }, "open the ledger"},
		"empty":     {func(p string) error { return os.Truncate(p, 0) }, "no ledger"},
		"a newer one": {func(p string) error {
			f, err := openFile(p)
			if err != nil {
				return err
			}
			return errors.Join(f.db.Update(func(tx *bbolt.Tx) error { return tx.Bucket(bucketAbout).Put(keyFormat, number(2)) }), f.Close())
		}, "this program knows 1"},
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), fileName)
			f, err := openFile(path)
			if err != nil {
				t.Fatal(err)
			}
			if err := errors.Join(f.Close(), test.spoil(path)); err != nil {
				t.Fatal(err)
			}
			if _, err := openFile(path); err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("got %v, want %q", err, test.want)
			}
		})
	}
}

// TestFileMadeHalf: a process that died while it made the file leaves none.
func TestFileMadeHalf(t *testing.T) {
	path := filepath.Join(t.TempDir(), fileName)
	if err := os.WriteFile(path+".new", []byte("half"), 0o600); err != nil {
		t.Fatal(err)
	}
	f, err := openFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Error(err)
	}
}

func TestEntryOnDiskIsVerified(t *testing.T) {
	log := &raft.Log{Index: 9, Term: 3, Type: raft.LogCommand, Data: []byte("data"), Extensions: []byte("ext"), AppendedAt: time.Unix(1, 2)}
	b := encodeLog(log)
	var got raft.Log
	if err := decodeLog(b, 9, &got); err != nil || got.Term != 3 || string(got.Data) != "data" || string(got.Extensions) != "ext" ||
		!got.AppendedAt.Equal(log.AppendedAt) {
		t.Errorf("%+v, %v", got, err)
	}
	for i := range b {
		bad := bytes.Clone(b)
		bad[i] ^= 4
		if err := decodeLog(bad, 9, &got); !errors.Is(err, ErrCorrupt) {
			t.Errorf("byte %d changed: %v", i, err)
		}
		if err := decodeLog(b[:i], 9, &got); !errors.Is(err, ErrCorrupt) {
			t.Errorf("cut at %d: %v", i, err)
		}
	}
	if err := decodeLog(b, 8, &got); !errors.Is(err, ErrCorrupt) {
		t.Errorf("at another index: %v", err)
	}
}

func FuzzDecodeLog(f *testing.F) {
	f.Add(encodeLog(&raft.Log{Index: 1, Data: []byte("x")}), uint64(1))
	f.Fuzz(func(t *testing.T, b []byte, index uint64) {
		var got raft.Log
		if err := decodeLog(b, index, &got); err == nil && !bytes.Equal(encodeLog(&got), b) {
			t.Errorf("%x does not come back", b)
		}
	})
}
