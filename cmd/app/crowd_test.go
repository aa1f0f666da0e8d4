package app

import (
	"context"
	"encoding/pem"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/lifeboat-ha/lifeboat/config"
	"github.com/lifeboat-ha/lifeboat/detector/clock"
	"github.com/lifeboat-ha/lifeboat/fence/fencetest"
)

// crowd is the BMCs of many hosts on real sockets. Each holds its first answer until
// all have been asked: then all are under way at once, however fast the machine is.
type crowd struct {
	hosts int

	mu           sync.Mutex
	asked        map[int]bool
	open, most   map[int]int // connections by BMC, now and at most
	made         map[int]int // connections by BMC that were ever opened
	all          chan struct{}
	whole        func() // once all are under way
	machines     []*fencetest.Machine
	servers      []*httptest.Server
	certificates []byte
}

func newCrowd(t *testing.T, hosts int) *crowd {
	c := &crowd{hosts: hosts, asked: map[int]bool{}, open: map[int]int{}, most: map[int]int{}, made: map[int]int{}, all: make(chan struct{})}
	for i := range hosts {
		m := fencetest.NewMachine(true)
		bmc := &fencetest.Redfish{Now: time.Now, Username: "admin", Password: "word", Systems: []fencetest.System{{ID: "1", Machine: m}}}
		srv := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			c.wait(r.Context(), i)
			bmc.ServeHTTP(w, r)
		}))
		srv.Config.ConnState = func(_ net.Conn, s http.ConnState) { c.count(i, s) }
		srv.StartTLS()
		t.Cleanup(srv.Close)
		c.machines, c.servers = append(c.machines, m), append(c.servers, srv)
	}
	c.certificates = pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.servers[0].Certificate().Raw})
	return c
}

func (c *crowd) count(i int, s http.ConnState) {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch s {
	case http.StateNew:
		c.open[i]++
		c.made[i]++
		c.most[i] = max(c.most[i], c.open[i])
	case http.StateClosed, http.StateHijacked:
		c.open[i]--
	case http.StateActive, http.StateIdle:
	}
}

func (c *crowd) wait(ctx context.Context, i int) {
	c.mu.Lock()
	if !c.asked[i] {
		if c.asked[i] = true; len(c.asked) == c.hosts {
			c.whole()
			close(c.all)
		}
	}
	c.mu.Unlock()
	select {
	case <-c.all:
	case <-ctx.Done():
	}
}

func heap() uint64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

func descriptors(t *testing.T) int {
	t.Helper()
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Skip("no /proc/self/fd: ", err)
	}
	return len(entries)
}

// TestCrowdIsBounded fences fifty hosts at once through BMCs that let all of them wait,
// on real sockets, by way of the configuration. A BMC has a handful of sessions: it gets one
// connection. A controller that fences a rack must not run out of descriptors (the unit's
// limit is 65536, a shell's 1024) nor of memory: generous limits, which a leak for each
// request or reading passes all the same.
func TestCrowdIsBounded(t *testing.T) {
	const (
		hosts      = 50
		perHost    = 14       // goroutines: the chain, a transport's two, and the emulated BMC's
		filesEach  = 4        // both ends of its connection, one more while it is replaced
		memoryEach = 1 << 20  // bytes while all wait
		leftEach   = 64 << 10 // bytes when all is over
	)
	c := newCrowd(t, hosts)
	ca := filepath.Join(t.TempDir(), "ca.pem")
	fencetest.Write(t, ca, string(c.certificates), 0o600)
	var list []config.Host
	for i, srv := range c.servers {
		list = append(list, config.Host{Name: fmt.Sprintf("cmp%d", i), BMC: []config.BMC{{Method: config.MethodRedfish, Address: srv.URL, System: fencetest.SystemPath("1"),
			Username: "admin", Password: config.Plain("word"), CA: ca, Budget: 30 * time.Second}}})
	}
	p, err := newPowers(list, runnerClock{clock.System()}, newMethod())
	if err != nil {
		t.Fatal(err)
	}
	memory, goroutines, files := heap(), runtime.NumGoroutine(), descriptors(t)
	var amid struct {
		memory            uint64
		goroutines, files int
	}
	c.whole = func() { amid.memory, amid.goroutines, amid.files = heap(), runtime.NumGoroutine(), descriptors(t) }
	var wg sync.WaitGroup
	for i := range list {
		wg.Go(func() {
			if _, attempts, err := p.Off(t.Context(), list[i].Name, "boot", func(context.Context) error { return nil }); err != nil || c.machines[i].On() {
				t.Errorf("%s: %v, %+v", list[i].Name, err, attempts)
			}
		})
	}
	wg.Wait()
	bound := func(what string, is, was, each int) {
		t.Logf("%s: %d more", what, is-was)
		if is-was > each*hosts {
			t.Errorf("%s: %d more for %d hosts, %d each is the limit", what, is-was, hosts, each)
		}
	}
	bound("bytes of heap amid", int(amid.memory), int(memory), memoryEach)
	bound("goroutines amid", amid.goroutines, goroutines, perHost)
	bound("open files amid", amid.files, files, filesEach)
	c.mu.Lock()
	for i := range list {
		if c.most[i] > 2 || c.made[i] > 3 {
			t.Errorf("%s: %d connections at once, %d in all: one is kept, and replaced where it is lost", list[i].Name, c.most[i], c.made[i])
		}
	}
	c.mu.Unlock()
	for _, srv := range c.servers {
		srv.CloseClientConnections()
	}
	bound("bytes of heap afterwards", int(heap()), int(memory), leftEach)
}
