package rest

import (
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"time"
)

// Options is what the adapter needs to reach one cloud.
type Options struct {
	// Cloud is an entry of clouds.yaml. Where neither it nor OS_CLOUD nor
	// CloudsFile is set, the OS_* environment is used alone.
	Cloud string `yaml:"cloud"`
	// CloudsFile is the path of clouds.yaml; empty means the usual search:
	// OS_CLIENT_CONFIG_FILE, ., ~/.config/openstack, /etc/openstack.
	CloudsFile string `yaml:"clouds_file"`
	Region     string `yaml:"region"`
	// Interface is public, internal or admin; empty leaves it to OS_INTERFACE
	// or clouds.yaml.
	Interface string `yaml:"interface"`

	// Endpoints, AuthEndpoints and PlacementEndpoints are tried in order before
	// the address of the catalog (or of auth_url): name the controller's own
	// API first, so that losing the VIP does not mean losing Nova.
	Endpoints          []string `yaml:"endpoints"`
	AuthEndpoints      []string `yaml:"auth_endpoints"`
	PlacementEndpoints []string `yaml:"placement_endpoints"`
	ImageEndpoints     []string `yaml:"image_endpoints"`
	// Images asks Glance for the properties of servers' images.
	Images bool `yaml:"images"`

	CAFile string `yaml:"ca_file"`
	// Timeout bounds a call whose context has no deadline.
	Timeout time.Duration `yaml:"timeout"`

	// Now is the clock.
	Now func() time.Time `yaml:"-"`
	// Transport replaces the network, for tests and simulations.
	Transport http.RoundTripper `yaml:"-"`
	Log       *slog.Logger      `yaml:"-"`
	// Observe, if set, hears of the end of every call, for metrics: its name,
	// its fault ("ok" for none; both are words of ours, so few), how long it
	// took with all endpoints that did not answer.
	Observe func(call, fault string, took time.Duration) `yaml:"-"`
}

// Default is a usable set of options but for the clock.
func Default() Options { return Options{Timeout: 30 * time.Second} }

// Validate names every mistake at once.
func (o Options) Validate() error {
	var faults []error
	switch o.Interface {
	case "", "public", "internal", "admin", "publicURL", "internalURL", "adminURL":
	default:
		faults = append(faults, fmt.Errorf("interface %q: use public, internal or admin", o.Interface))
	}
	if o.Timeout < 0 {
		faults = append(faults, fmt.Errorf("timeout %v is negative", o.Timeout))
	}
	for name, list := range map[string][]string{
		"endpoints": o.Endpoints, "auth_endpoints": o.AuthEndpoints, "placement_endpoints": o.PlacementEndpoints, "image_endpoints": o.ImageEndpoints,
	} {
		for _, e := range list {
			if err := checkURL(e); err != nil {
				faults = append(faults, fmt.Errorf("%s: %w", name, err))
			}
		}
	}
	return errors.Join(faults...)
}

func checkURL(raw string) error {
	u, err := url.Parse(raw)
	switch {
	case err != nil:
		// The parser's own error quotes the text, which may hold a password.
		return errors.New("an address that is no URL")
	case u.User != nil:
		return fmt.Errorf("%s: credentials belong into clouds.yaml, not into an address", u.Redacted())
	case u.Host == "" || (u.Scheme != "http" && u.Scheme != "https"):
		return fmt.Errorf("%q: want http(s)://host:port", raw)
	}
	return nil
}
