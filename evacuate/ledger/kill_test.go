package ledger_test

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/lifeboat-ha/lifeboat/evacuate/ledger"
)

// The environment that makes this test binary a controller's process.
const (
	envNode  = "LEDGER_TEST_NODE"
	envDir   = "LEDGER_TEST_DIR"
	envPeers = "LEDGER_TEST_PEERS"
)

func TestMain(m *testing.M) {
	if os.Getenv(envNode) != "" {
		if err := runNode(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

// runNode is one replica: while it leads it applies entries as fast as it can
// and says "ack ENTRY" for each that was committed. "dump" on its input makes
// it tell all entries it has; the input's end ends it.
func runNode() error {
	var ps []ledger.Peer
	if err := json.Unmarshal([]byte(os.Getenv(envPeers)), &ps); err != nil {
		return err
	}
	id := os.Getenv(envNode)
	n, err := startReal(os.Getenv(envDir), id, ps, quick)
	if err != nil {
		return err
	}
	if _, err := n.Bootstrap(context.Background()); err != nil {
		return err
	}
	var mu sync.Mutex
	say := func(format string, args ...any) {
		mu.Lock()
		defer mu.Unlock()
		fmt.Printf(format+"\n", args...)
	}
	paused := make(chan struct{})
	go func() {
		for i := 0; ; i++ {
			select {
			case <-paused:
				return
			default:
			}
			entry := fmt.Sprintf("%s.%d.%d", id, os.Getpid(), i)
			ctx, cancel := context.WithTimeout(context.Background(), time.Second)
			if _, err := n.Apply(ctx, []byte(entry)); err == nil {
				say("ack %s", entry)
			} else {
				time.Sleep(5 * time.Millisecond)
			}
			cancel()
		}
	}()
	in := bufio.NewScanner(os.Stdin)
	for in.Scan() {
		switch in.Text() {
		case "pause":
			close(paused)
		case "dump":
			say("all %s", strings.Join(n.list.all(), ","))
		}
	}
	return n.stop()
}

// process is a controller in a process of its own.
type process struct {
	cmd  *exec.Cmd
	in   io.WriteCloser
	done chan struct{} // all its output is read
	all  chan string
}

func (c *killing) spawn(id string) *process {
	c.t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), envNode+"="+id, envDir+"="+c.dir, envPeers+"="+c.peers)
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		c.t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		c.t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		c.t.Fatal(err)
	}
	p := &process{cmd, in, make(chan struct{}), make(chan string, 1)}
	go func() {
		defer close(p.done)
		lines := bufio.NewReader(out)
		for {
			line, err := lines.ReadString('\n')
			if err != nil {
				return // a line cut off by the kill was not acknowledged to us
			}
			if entry, ok := strings.CutPrefix(strings.TrimSpace(line), "ack "); ok {
				c.acked(id, entry)
			} else if all, ok := strings.CutPrefix(strings.TrimSpace(line), "all "); ok {
				p.all <- all
			}
		}
	}()
	return p
}

// killing is a cluster of processes that die.
type killing struct {
	t     *testing.T
	dir   string
	peers string

	mu     sync.Mutex
	acks   []string
	leader string // who acknowledged last
}

func (c *killing) acked(id, entry string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.acks = append(c.acks, entry)
	c.leader = id
}

func (c *killing) state() (acks int, leader string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.acks), c.leader
}

// more waits until n more entries are acknowledged.
func (c *killing) more(n int) {
	c.t.Helper()
	start, _ := c.state()
	for range 24000 {
		if now, _ := c.state(); now >= start+n {
			return
		}
		time.Sleep(5 * time.Millisecond)
	}
	c.t.Fatalf("no %d entries within 2 min", n)
}

// TestKilledAtAnyTime: processes die by SIGKILL in the midst of writing, one by
// one and all at once. Every entry that was acknowledged is there afterwards,
// once, in the order of acknowledgement, on every replica.
func TestKilledAtAnyTime(t *testing.T) {
	dir := t.TempDir()
	ps := realPeers(t, dir, 3)
	peers, err := json.Marshal(ps)
	if err != nil {
		t.Fatal(err)
	}
	c := &killing{t: t, dir: dir, peers: string(peers)}
	running := map[string]*process{}
	for _, p := range ps {
		running[p.ID] = c.spawn(p.ID)
	}
	t.Cleanup(func() {
		for _, p := range running {
			p.cmd.Process.Kill()
			p.cmd.Wait()
		}
	})
	kill := func(id string) {
		p := running[id]
		if err := p.cmd.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		<-p.done
		p.cmd.Wait() // says that it was killed
	}
	c.more(50)
	rounds := 12
	if testing.Short() {
		rounds = 3
	}
	for round := range rounds {
		time.Sleep(time.Duration(rand.IntN(100)) * time.Millisecond)
		_, leader := c.state()
		victims := []string{leader}
		switch round % 4 {
		case 1:
			victims = []string{ps[rand.IntN(3)].ID}
		case 3:
			victims = []string{"c1", "c2", "c3"}
		}
		for _, v := range victims {
			kill(v)
		}
		if len(victims) == 1 {
			c.more(20) // without it
		}
		for _, v := range victims {
			running[v] = c.spawn(v)
		}
		c.more(20)
	}
	c.compare(running)
}

// compare asks all replicas what they have.
func (c *killing) compare(running map[string]*process) {
	c.t.Helper()
	for _, p := range running {
		io.WriteString(p.in, "pause\n")
	}
	time.Sleep(500 * time.Millisecond)
	var dumps []string
	for range 600 {
		dumps = nil
		for _, p := range running {
			io.WriteString(p.in, "dump\n")
			select {
			case all := <-p.all:
				dumps = append(dumps, all)
			case <-time.After(time.Minute):
				c.t.Fatal("a replica does not answer")
			}
		}
		if dumps[0] == dumps[1] && dumps[1] == dumps[2] {
			break
		}
		time.Sleep(100 * time.Millisecond)
	}
	if dumps[0] != dumps[1] || dumps[1] != dumps[2] {
		c.t.Error("the replicas differ")
	}
	entries := strings.Split(dumps[0], ",")
	place := map[string]int{}
	for i, e := range entries {
		if _, twice := place[e]; twice {
			c.t.Errorf("%s is there twice", e)
		}
		place[e] = i
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	lost := 0
	for _, a := range c.acks {
		if _, ok := place[a]; !ok {
			lost++
		}
	}
	if lost > 0 {
		c.t.Errorf("%d of %d acknowledged entries are lost", lost, len(c.acks))
	}
	// Acknowledgements of one process arrive in order.
	byProcess := map[string][]int{}
	for _, a := range c.acks {
		name := a[:strings.LastIndex(a, ".")]
		byProcess[name] = append(byProcess[name], place[a])
	}
	for name, places := range byProcess {
		if !slices.IsSorted(places) {
			c.t.Errorf("the entries of %s are out of order", name)
		}
	}
	c.t.Logf("%d acknowledged, %d there, %d processes led", len(c.acks), len(entries), len(byProcess))
}
