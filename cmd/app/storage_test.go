package app

import (
	"context"
	"errors"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lifeboat-ha/lifeboat/config"
	"github.com/lifeboat-ha/lifeboat/evacuate"
	"github.com/lifeboat-ha/lifeboat/fence/command"
)

// shelf is the operator's program; it notes what it is called for.
type shelf struct {
	calls []string
	takes time.Duration
	gone  bool
	err   error
}

func (s *shelf) Name() string { return "cut" }

func (s *shelf) Fence(_ context.Context, m command.Machine) error {
	time.Sleep(s.takes)
	s.calls = append(s.calls, "fence "+m.Host+" "+m.Addresses["storage"].String())
	return nil
}

func (s *shelf) Unfence(_ context.Context, m command.Machine) error {
	s.calls = append(s.calls, "unfence "+m.Host)
	return nil
}

func (s *shelf) Gone(context.Context, command.Machine) (bool, error) { return s.gone, s.err }

// TestStorageTest: what is asked on purpose says what is wrong while the host lives.
func TestStorageTest(t *testing.T) {
	for _, tt := range []struct {
		program shelf
		good    bool
		says    string
	}{
		{shelf{}, true, "the host has it"},
		{shelf{gone: true}, false, "give it back by hand"},
		{shelf{err: errors.New("code 1: no cluster")}, false, "it does not tell: code 1: no cluster"},
	} {
		s := &storages{program: &tt.program, turns: map[string]turn{"cmp1": make(turn, 1)}}
		x := evacuate.FenceTest{Host: "cmp1", Gate: evacuate.Answer{Pass: true}, Storage: s.test(t.Context(), "cmp1", time.Now)}
		if x.Good() != tt.good || !strings.Contains(x.Text(), tt.says) {
			t.Errorf("good %t: %s", x.Good(), x.Text())
		}
		if s.test(t.Context(), "cmp2", time.Now) != nil {
			t.Error("asked for a host that keeps its storage")
		}
	}
}

// TestStorages: the program is called for the hosts of the file but those that keep theirs, one
// call at a time for each, and the guard is asked when a call's turn has come, not before.
func TestStorages(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		program := &shelf{takes: 5 * time.Second}
		cfg := &config.Controller{StorageFence: config.StorageFence{Program: "/cut"}, Hosts: []config.Host{
			{Name: "cmp1", Addresses: map[string]netip.Addr{"storage": netip.MustParseAddr("10.2.0.1")}}, {Name: "cmp2", KeepsStorage: true}}}
		s, err := newStorages(cfg, func(config.StorageFence) (StorageProgram, error) { return program, nil })
		if err != nil {
			t.Fatal(err)
		}
		if s.of("cmp1") != "cut" || s.of("cmp2") != "" || s.of("cmp9") != "" {
			t.Errorf("%q, %q, %q", s.of("cmp1"), s.of("cmp2"), s.of("cmp9"))
		}
		allow := func(context.Context) error { return nil }
		began := time.Now()
		go func() { _ = s.Fence(t.Context(), "cmp1", allow) }()
		synctest.Wait()
		var asked time.Duration
		err = s.Unfence(t.Context(), "cmp1", func(context.Context) error { asked = time.Since(began); return errors.New("deposed") })
		if err == nil || asked != 5*time.Second || !slices.Equal(program.calls, []string{"fence cmp1 10.2.0.1"}) {
			t.Errorf("%v, asked after %s, called %q", err, asked, program.calls)
		}
		if err := s.Unfence(t.Context(), "cmp1", allow); err != nil || len(program.calls) != 2 {
			t.Errorf("%v, called %q", err, program.calls)
		}
		for _, host := range []string{"cmp2", "cmp9"} {
			if err := s.Fence(t.Context(), host, allow); err == nil || !strings.Contains(err.Error(), "keeps its storage") {
				t.Errorf("%s: %v", host, err)
			}
		}
		none, err := newStorages(&config.Controller{Hosts: cfg.Hosts}, nil)
		if none != nil || err != nil || none.of("cmp1") != "" {
			t.Errorf("%v, %v: none is configured", none, err)
		}
	})
}

// TestStoragePreflight: each living host is asked about in turn, the one that is due for
// longest first, sooner where the program does not tell, and never beside a recovery's call.
func TestStoragePreflight(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		program := &shelf{}
		cfg := &config.Controller{StorageFence: config.StorageFence{Program: "/cut"}, Hosts: []config.Host{{Name: "cmp1"}, {Name: "cmp2"}, {Name: "cmp3"}}}
		s, err := newStorages(cfg, func(config.StorageFence) (StorageProgram, error) { return program, nil })
		if err != nil {
			t.Fatal(err)
		}
		dead, asked := "cmp3", map[string]int{}
		round := func() {
			before := map[string]*evacuate.StorageTest{}
			for h := range s.turns {
				before[h] = s.check(h)
			}
			s.lookAhead(t.Context(), func(h string) bool { return h != dead }, time.Now)
			for h := range s.turns {
				if s.check(h) != before[h] {
					asked[h]++
				}
			}
			time.Sleep(storagePause)
		}
		for range 10 {
			round()
		}
		if asked["cmp1"] != 1 || asked["cmp2"] != 1 || asked["cmp3"] != 0 {
			t.Errorf("asked %v in the first rounds", asked)
		}
		if f := s.check("cmp1").Fault(); f != "" || s.check("cmp3") != nil {
			t.Errorf("cmp1: %q, cmp3: %+v", f, s.check("cmp3"))
		}
		program.err = errors.New("code 1: no cluster")
		time.Sleep(storageEvery)
		s.turns["cmp2"] <- struct{}{} // its recovery calls
		for range int(storageRetry/storagePause) + 2 {
			round()
		}
		if asked["cmp1"] != 3 || asked["cmp2"] != 1 {
			t.Errorf("asked %v once it is ill and cmp2 is busy", asked)
		}
		if f := s.check("cmp1").Fault(); !strings.Contains(f, "no cluster") {
			t.Errorf("cmp1: %q", f)
		}
		var none *storages
		none.lookAhead(t.Context(), func(string) bool { return true }, time.Now)
		if none.check("cmp1") != nil {
			t.Error("nothing is configured, and it was asked")
		}
	})
}
