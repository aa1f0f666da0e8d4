package watch

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"strings"
	"time"

	"github.com/lifeboat-ha/lifeboat/detector/vip"
)

// BehindTime bounds one question to a service behind the addresses.
const BehindTime = 3 * time.Second

// Behind asks services behind the addresses how they are. It sends a user's name and
// password to RabbitMQ alone, and shows neither.
type Behind struct {
	// Galera are addresses of clustercheck: 200 where the node is synced and in the
	// primary component, 503 where not (Percona XtraDB Cluster's clustercheck; MariaDB's
	// in Kolla).
	Galera []netip.AddrPort
	// Rabbit are addresses of the management plugin; its user needs the tag monitoring.
	Rabbit         []netip.AddrPort
	User, Password string
	Client         *http.Client
	Scheme         string // of Rabbit: http or https
}

// Ask asks them all, side by side.
func (b *Behind) Ask(ctx context.Context) []vip.Check {
	ctx, cancel := context.WithTimeout(ctx, BehindTime)
	defer cancel()
	answers := make(chan vip.Check)
	for _, a := range b.Galera {
		go func() { answers <- b.galera(ctx, a) }()
	}
	for _, a := range b.Rabbit {
		go func() { answers <- b.rabbit(ctx, a) }()
	}
	var all []vip.Check
	for range len(b.Galera) + len(b.Rabbit) {
		all = append(all, <-answers)
	}
	return all
}

func (b *Behind) galera(ctx context.Context, a netip.AddrPort) vip.Check {
	c := vip.Check{Kind: vip.GaleraNotPrimary, Node: a.String(), State: vip.CheckUnknown}
	status, body, err := b.get(ctx, "http://"+a.String()+"/", false)
	switch {
	case err != nil:
		c.Says = err.Error()
	case status == http.StatusOK:
		c.State = vip.CheckWell
	case status == http.StatusServiceUnavailable:
		c.State, c.Says = vip.CheckIll, firstLine(body)
	default:
		c.Says = fmt.Sprintf("clustercheck answers with %d", status)
	}
	return c
}

// rabbit reads /api/nodes: each node lists the partitions that it sees.
func (b *Behind) rabbit(ctx context.Context, a netip.AddrPort) vip.Check {
	c := vip.Check{Kind: vip.BrokerSplit, Node: a.String(), State: vip.CheckUnknown}
	status, body, err := b.get(ctx, b.Scheme+"://"+a.String()+"/api/nodes", true)
	var nodes []struct {
		Name       string   `json:"name"`
		Partitions []string `json:"partitions"`
	}
	switch {
	case err != nil:
		c.Says = err.Error()
		return c
	case status != http.StatusOK:
		c.Says = fmt.Sprintf("the management plugin answers with %d", status)
		return c
	}
	if err := json.Unmarshal(body, &nodes); err != nil || len(nodes) == 0 {
		c.Says = "the management plugin's answer is not understood"
		return c
	}
	c.State = vip.CheckWell
	var apart []string
	for _, n := range nodes {
		if len(n.Partitions) > 0 {
			apart = append(apart, n.Name+" is apart from "+strings.Join(n.Partitions, " and "))
		}
	}
	if len(apart) > 0 {
		c.State, c.Says = vip.CheckIll, strings.Join(apart, "; ")
	}
	return c
}

// answerMost bounds what is read of an answer.
const answerMost = 1 << 20

func (b *Behind) get(ctx context.Context, url string, account bool) (status int, body []byte, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return 0, nil, errors.New("no address to ask")
	}
	if account {
		req.SetBasicAuth(b.User, b.Password)
	}
	resp, err := b.Client.Do(req)
	if err != nil {
		return 0, nil, fmt.Errorf("ask %s: %w", req.URL.Host, unwrapURL(err))
	}
	defer func() { _ = resp.Body.Close() }()
	body, err = io.ReadAll(io.LimitReader(resp.Body, answerMost))
	if err != nil {
		return 0, nil, fmt.Errorf("hear %s: %w", req.URL.Host, err)
	}
	return resp.StatusCode, body, nil
}

// unwrapURL drops the address that http repeats in its errors.
func unwrapURL(err error) error {
	if inner := errors.Unwrap(err); inner != nil {
		return inner
	}
	return err
}

func firstLine(b []byte) string {
	line, _, _ := strings.Cut(strings.TrimSpace(string(b)), "\n")
	return line[:min(len(line), 200)]
}
