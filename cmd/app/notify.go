package app

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net/http"
	"os"
	"time"

	"github.com/lifeboat-ha/lifeboat/config"
	"github.com/lifeboat-ha/lifeboat/evacuate"
	"github.com/lifeboat-ha/lifeboat/evacuate/notify"
)

// newNotifier makes the notifier of the file's receivers.
func (c *Controller) newNotifier() (*notify.Notifier, error) {
	n := &notify.Notifier{State: c.State, Now: c.clock.Now, Sleep: c.clock.Sleep, Log: c.log.With("component", "notify"),
		Leads: func() (time.Time, bool) {
			c.mu.Lock()
			defer c.mu.Unlock()
			return c.since, c.leading
		}}
	for _, x := range c.cfg.Notify {
		t, err := notifyTarget(x)
		if err != nil {
			return nil, err
		}
		n.Targets = append(n.Targets, t)
	}
	if err := n.Register(c.registry); err != nil {
		return nil, fmt.Errorf("register the notifier's metrics: %w", err)
	}
	return n, nil
}

func notifyTarget(x config.Notify) (notify.Target, error) {
	t := notify.Target{Name: x.Name, URL: x.Address(), Secret: x.Secret.Reveal(), Timeout: x.Timeout}
	for _, k := range x.Kinds {
		t.Kinds = append(t.Kinds, evacuate.NoticeKind(k))
	}
	if x.TemplateFile != "" {
		b, err := os.ReadFile(x.TemplateFile)
		if err != nil {
			return t, fmt.Errorf("read the template of %s: %w", x.Name, err)
		}
		if t.Template, err = notify.Compile(x.Name, string(b)); err != nil {
			return t, err
		}
		if _, err := notify.Body(t, sampleNotice()); err != nil {
			return t, err
		}
	}
	transport := &http.Transport{Proxy: http.ProxyFromEnvironment, MaxIdleConnsPerHost: 1, IdleConnTimeout: time.Minute, TLSHandshakeTimeout: 5 * time.Second}
	if x.CA != "" {
		pem, err := os.ReadFile(x.CA)
		if err != nil {
			return t, fmt.Errorf("read the CA of %s: %w", x.Name, err)
		}
		pool := x509.NewCertPool()
		if !pool.AppendCertsFromPEM(pem) {
			return t, fmt.Errorf("the CA of %s: %s holds no certificate", x.Name, x.CA)
		}
		transport.TLSClientConfig = &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}
	}
	t.Client = notify.NewClient(transport)
	return t, nil
}

// sampleNotice is what a template is tried on before it is needed.
func sampleNotice() evacuate.Notice {
	return evacuate.Notice{ID: "sample", Kind: evacuate.NoticePlan, Event: "waiting", Cluster: "sample", Host: "cmp01", Text: "a \"sample\"",
		Plan: &evacuate.Proposal{Host: "cmp01"}, Report: &evacuate.Report{Host: "cmp01"}}
}

// tell sends notices until ctx ends.
func (c *Controller) tell(ctx context.Context) {
	if len(c.notifier.Targets) > 0 {
		c.notifier.Run(ctx)
	}
}
