package demo

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/lifeboat-ha/lifeboat/cmd/app"
	"github.com/lifeboat-ha/lifeboat/config/identity"
	"github.com/lifeboat-ha/lifeboat/evacuate/api"
	"github.com/lifeboat-ha/lifeboat/fence/fencetest"
	"github.com/lifeboat-ha/lifeboat/nova/novatest"
)

// chatty are programs in the place of ipmitool and of a fence agent, and one that takes
// storage away. Each notes its arguments and its environment as the kernel shows them while
// it runs, and says aloud what it was given; the first two fail, the last once.
const (
	chattyTool = `#!/bin/sh
tr '\0' '\n' <"/proc/$$/cmdline" >>%[1]s/tool.argv
tr '\0' '\n' <"/proc/$$/environ" >>%[1]s/tool.environ
echo "you said $IPMITOOL_PASSWORD"
exit 1
`
	chattyAgent = `#!/bin/sh
tr '\0' '\n' <"/proc/$$/cmdline" >>%[1]s/agent.argv
tr '\0' '\n' <"/proc/$$/environ" >>%[1]s/agent.environ
while IFS= read -r line; do
  case "$line" in action=metadata)
    echo '<resource-agent name="fence_chatty"><parameters>'
    for p in ip plug passwd community; do echo "<parameter name=\"$p\" required=\"1\"><content type=\"string\" /></parameter>"; done
    echo '</parameters><actions><action name="on"/><action name="off"/><action name="status"/></actions></resource-agent>'; exit 0 ;;
  esac
  echo "$line" >>%[1]s/agent.stdin
  echo "got $line" >&2
done
exit 1
`
	chattyStorage = `#!/bin/sh
tr '\0' '\n' <"/proc/$$/cmdline" >>%[1]s/storage.argv
tr '\0' '\n' <"/proc/$$/environ" >>%[1]s/storage.environ
while IFS= read -r line; do
  case "$line" in action=*) action=${line#action=} ;; host=*) host=${line#host=} ;; esac
  echo "$line" >>%[1]s/storage.stdin
  echo "got $line"
  echo "got $line" >&2
done
if [ "$action" = fence ] && [ ! -e %[1]s/failed ]; then : >%[1]s/failed; exit 1; fi
case "$action" in
  fence) : >"%[1]s/shut.$host"; echo "Status: FENCED" ;;
  unfence) rm -f "%[1]s/shut.$host"; echo "Status: OPEN" ;;
  *) [ -e "%[1]s/shut.$host" ] && echo "Status: FENCED" && exit 0; echo "Status: OPEN"; exit 2 ;;
esac
`
)

// betrayal is all that could give a secret away, and the secrets.
type betrayal struct {
	dir, kept string // the site's own directory, and what its children noted
	secrets   map[string][]byte

	mu    sync.Mutex
	shown map[string][]byte // by where it was seen
}

func (b *betrayal) show(where string, what []byte) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.shown[where] = append(b.shown[where], what...)
}

// secret makes one that is known by its name when it turns up.
func (b *betrayal) secret(name string) string {
	s := newSecret()[:20] // IPMI 2.0 carries no more
	b.secrets[name] = []byte(s)
	return s
}

// prepare gives one host more methods, and the controllers receivers of notices: one that
// takes them, and one whose address is a secret and that refuses all.
func (b *betrayal) prepare(t *testing.T, s *site) error {
	b.dir = s.dir
	fencetest.Write(t, filepath.Join(b.kept, "ipmitool"), fmt.Sprintf(chattyTool, b.kept), 0o700)
	fencetest.Write(t, filepath.Join(b.kept, "fence_chatty"), fmt.Sprintf(chattyAgent, b.kept), 0o700)
	fencetest.Write(t, filepath.Join(b.kept, "storage"), fmt.Sprintf(chattyStorage, b.kept), 0o700)
	takes := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		b.show("a notice", fmt.Appendf(body, "%v", r.Header))
		if r.URL.Path != "/" {
			w.WriteHeader(http.StatusInternalServerError)
		}
	}))
	s.close = append(s.close, func() error { takes.Close(); return nil })
	for name, text := range map[string]string{
		"ipmi.password": b.secret("the password for ipmitool"), "agent.password": b.secret("the password for a fence agent"), "community": b.secret("a fence agent's other secret"),
		"storage.secret": b.secret("the storage program's secret"), "notify.secret": b.secret("the key of notices"), "notify.url": takes.URL + "/" + b.secret("a receiver's address"),
	} {
		if err := os.WriteFile(s.path(name), []byte(text), 0o600); err != nil {
			return err
		}
	}
	for name, file := range map[string]string{"a BMC's password": "bmc.password", "the API's token": "api.token", "the ring's key": "ring.key"} {
		text, err := os.ReadFile(s.path(file))
		if err != nil {
			return err
		}
		b.secrets[name] = text
	}
	b.secrets["the ring's key as it is"], _ = base64.StdEncoding.DecodeString(string(b.secrets["the ring's key"]))
	b.secrets["Keystone's password"], b.secrets["a token of Keystone"] = []byte(novatest.Password), []byte("gAAAA-novatest-")
	more := fmt.Sprintf("ca: %s}, {method: ipmi, address: 192.0.2.1, username: admin, password: {file: %s}}, "+
		"{method: command, agent: %s, address: 192.0.2.2, plug: '1', password: {file: %s}, secrets: {community: {file: %s}}}]}\n",
		s.path("bmc.crt"), s.path("ipmi.password"), filepath.Join(b.kept, "fence_chatty"), s.path("agent.password"), s.path("community"))
	s.amend = func(y string) string {
		y = strings.Replace(y, fmt.Sprintf("ca: %s}]}\n", s.path("bmc.crt")), more, 1)
		y += fmt.Sprintf("storage_fence: {program: %s, parameters: {pools: vms}, secrets: {key: {file: %s}}}\n", filepath.Join(b.kept, "storage"), s.path("storage.secret"))
		return y + fmt.Sprintf("notify:\n  - {name: takes, url: %q, secret: {file: %s}}\n  - {name: refuses, url_from: {file: %s}, secret: {file: %s}}\n",
			takes.URL+"/", s.path("notify.secret"), s.path("notify.url"), s.path("notify.secret"))
	}
	return nil
}

// look asks every controller for all that it answers, while the site runs.
func (b *betrayal) look(ctx context.Context, t *testing.T, r *run) {
	leader := r.lead()
	if leader == nil {
		t.Error("nobody leads")
		return
	}
	token, err := leader.NewToken(ctx, "cmp02", time.Hour)
	if err != nil {
		t.Error(err)
	}
	b.secrets["an enrolment token"] = []byte(token)
	if cfg, err := r.agentConfig(0, r.hosts[0]); err != nil {
		t.Error(err)
	} else if err := app.Enrol(ctx, cfg, r.peer(1), token); err == nil {
		t.Error("cmp01 is enrolled with another host's token")
	} else {
		b.show("an error", []byte(err.Error()))
	}
	text, err := leader.Command(ctx, api.Command{Verb: api.VerbSnapshot})
	if err != nil {
		t.Error(err)
	}
	dump, _ := base64.StdEncoding.DecodeString(text)
	b.show("the ledger's dump", dump)
	for i, c := range r.ctls {
		state, _ := c.State().Marshal()
		b.show("the ledger's state", state)
		instance := c.State().Recoveries["r2"].Evacuations[0].Server
		for _, path := range append(b.paths(ctx, t, r.api(i+1)), "/v1/instances/"+string(instance)) {
			b.show("the API's "+path, b.get(ctx, t, r.api(i+1), path))
		}
	}
}

// paths are all that the API's own description lists.
func (b *betrayal) paths(ctx context.Context, t *testing.T, at string) []string {
	var doc struct {
		Paths map[string]map[string]any
	}
	if err := json.Unmarshal(b.get(ctx, t, at, "/v1/openapi.json"), &doc); err != nil || len(doc.Paths) < 10 {
		t.Errorf("the API's description: %v, %d paths", err, len(doc.Paths))
	}
	out := []string{"/", "/metrics", "/v1/hosts/cmp01/fence-test", "/v1/hosts/cmp13/explain", "/v1/recoveries/r2"}
	for path, methods := range doc.Paths {
		if methods["get"] != nil {
			out = append(out, strings.NewReplacer("{host}", "cmp07", "{id}", "r1").Replace(path))
		}
	}
	return out
}

func (b *betrayal) get(ctx context.Context, t *testing.T, at, path string) []byte {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Minute)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+at+path, http.NoBody)
	if err != nil {
		t.Error(err)
		return nil
	}
	req.Header.Set("Authorization", "Bearer "+string(b.secrets["the API's token"]))
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Errorf("%s: %v", path, err)
		return nil
	}
	defer resp.Body.Close()
	if path == "/v1/events" { // never ends
		time.AfterFunc(500*time.Millisecond, cancel)
	}
	body, _ := io.ReadAll(resp.Body)
	if resp.StatusCode != http.StatusOK && path != "/v1/plans/r1" && path != "/v1/instances/r1" {
		t.Errorf("%s: %s %s", path, resp.Status, body)
	}
	b.show("the API's headers", fmt.Appendf(nil, "%v", resp.Header))
	return body
}

// mayHold are the files of the site's directory that secrets may stand in.
func mayHold(path string) bool {
	name := filepath.Base(path)
	return filepath.Ext(name) == ".key" || slices.Contains([]string{"clouds.yaml", "api.token", "bmc.password", "ipmi.password", "agent.password",
		"community", "storage.secret", "notify.secret", "notify.url", "ring-keys.json", "identity.json"}, name)
}

// files reads all that was written: keys that were made are secrets too.
func (b *betrayal) files(t *testing.T) {
	err := filepath.WalkDir(b.dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		data, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		name, _ := filepath.Rel(b.dir, path)
		for rest := data; ; {
			var block *pem.Block
			if block, rest = pem.Decode(rest); block == nil {
				break
			}
			if strings.Contains(block.Type, "SEED") {
				b.secrets["the key "+name] = block.Bytes
			} else if key, err := x509.ParsePKCS8PrivateKey(block.Bytes); err == nil {
				if b.secrets["the key "+name], err = key.(*ecdsa.PrivateKey).Bytes(); err != nil { // all of ours are
					return err
				}
			}
		}
		if id, err := identity.Load(filepath.Dir(path)); err == nil {
			b.secrets["the key of "+id.Host] = id.Key.Seed()
		}
		if mayHold(path) {
			if info, err := d.Info(); err != nil || info.Mode().Perm()&0o077 != 0 {
				t.Errorf("others may read %s: %v, %v", name, info.Mode(), err)
			}
			return nil
		}
		for page := range slices.Chunk(data, 4096) { // a ledger's file is empty for the most part
			if len(bytes.Trim(page, "\x00")) > 0 {
				b.show("the file "+name, page)
			}
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
	for _, name := range []string{"tool.argv", "tool.environ", "agent.argv", "agent.environ", "storage.argv", "storage.environ"} {
		data, err := os.ReadFile(filepath.Join(b.kept, name))
		if err != nil || len(data) == 0 {
			t.Errorf("%s: %v: no child was seen", name, err)
		}
		if name == "tool.environ" { // its own way in, which only root and its user may read
			data = bytes.ReplaceAll(data, b.secrets["the password for ipmitool"], nil)
		}
		b.show("a child's "+name, data)
	}
	for _, name := range []string{"/proc/self/cmdline", "/proc/self/environ"} {
		data, err := os.ReadFile(name)
		if err != nil {
			t.Error(err)
		}
		b.show(name, data)
	}
}

// forms are the ways in which a secret is written down without being meant to.
func forms(secret []byte) [][]byte {
	out := [][]byte{secret, []byte(hex.EncodeToString(secret)), []byte(url.QueryEscape(string(secret)))}
	for before := range 3 { // in base64, wherever in the text it begins
		text := append(make([]byte, before), secret...)
		for _, coding := range []*base64.Encoding{base64.RawStdEncoding, base64.RawURLEncoding} {
			coded := coding.EncodeToString(text)
			out = append(out, []byte(coded[(before*8+5)/6:len(coded)-1]))
		}
	}
	return out
}

func (b *betrayal) judge(t *testing.T) {
	began := time.Now()
	var size int
	for where, text := range b.shown {
		size += len(text)
		for what, secret := range b.secrets {
			if len(secret) < 12 {
				t.Errorf("%s is too short to be recognised", what)
			}
			for _, form := range forms(secret) {
				if bytes.Contains(text, form) {
					t.Errorf("%s stands in %s", what, where)
					break
				}
			}
		}
	}
	if len(b.secrets) < 12+controllers+hosts {
		t.Errorf("only %d secrets are known: keys were not found", len(b.secrets))
	}
	t.Logf("%d secrets looked for in %d places, %d KiB, in %s", len(b.secrets), len(b.shown), size>>10, time.Since(began).Round(time.Millisecond))
	// What must have been looked at, or the test sees nothing.
	for where, word := range map[string]string{"a notice": "r1", "the ledger's dump": "cmp07", "the ledger's state": "cmp07", "the API's /metrics": "lifeboat_", "the API's /v1/status": "mode",
		"the API's /v1/hosts/cmp07/explain": "cmp07", "the API's /v1/hosts/cmp07/plan": "cmp07", "the API's /v1/hosts/cmp01/fence-test": "redacted", "the file ctl1.log": "level=DEBUG",
		"a child's agent.argv": "fence_chatty", "a child's tool.argv": "192.0.2.1", "a child's tool.environ": "IPMITOOL_PASSWORD=", "a child's storage.argv": "storage"} {
		if !bytes.Contains(b.shown[where], []byte(word)) {
			t.Errorf("%s does not show %q: the test looks at the wrong place", where, word)
		}
	}
	for file, what := range map[string]string{"agent.stdin": "a fence agent's other secret", "storage.stdin": "the storage program's secret"} {
		if given, err := os.ReadFile(filepath.Join(b.kept, file)); err != nil || !bytes.Contains(given, b.secrets[what]) {
			t.Errorf("%s: given was %q, %v", file, given, err)
		}
	}
}
