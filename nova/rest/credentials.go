package rest

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"

	"github.com/gophercloud/gophercloud/v2"
	"github.com/gophercloud/gophercloud/v2/openstack/config/clouds"
)

// credentials is everything read from clouds.yaml or the environment.
type credentials struct {
	auth      gophercloud.AuthOptions
	region    string
	available gophercloud.Availability
	tls       *tls.Config
}

// secrets lists what must never appear in an error or a log line.
func (c credentials) secrets() []string {
	var all []string
	for _, s := range []string{c.auth.Password, c.auth.ApplicationCredentialSecret, c.auth.TokenID, c.auth.Passcode} {
		if s != "" {
			all = append(all, s)
		}
	}
	return all
}

func readCredentials(o Options) (credentials, error) {
	var (
		c   credentials
		err error
	)
	if o.Cloud != "" || o.CloudsFile != "" || os.Getenv("OS_CLOUD") != "" {
		c, err = fromFile(o)
	} else {
		c, err = fromEnvironment()
	}
	if err != nil {
		return credentials{}, err
	}
	if o.Region != "" {
		c.region = o.Region
	}
	if o.Interface != "" {
		c.available = availability(o.Interface)
	}
	if o.CAFile != "" {
		if c.tls.RootCAs, err = readCA(o.CAFile); err != nil {
			return credentials{}, err
		}
	}
	return c, c.check()
}

// check refuses what could not be renewed: a token cannot outlive itself.
func (c credentials) check() error {
	a := c.auth
	switch {
	case a.IdentityEndpoint == "":
		return errors.New("no auth_url (OS_AUTH_URL)")
	case a.Passcode != "":
		return errors.New("a one-time passcode cannot be used again: give Lifeboat a password or an application credential")
	case a.Password == "" && a.ApplicationCredentialSecret == "":
		return errors.New("no password and no application credential (a bare token cannot be renewed)")
	case a.Password != "" && a.Username == "" && a.UserID == "":
		return errors.New("a password without a username or user id")
	}
	return checkURL(a.IdentityEndpoint)
}

func fromFile(o Options) (credentials, error) {
	cloud := o.Cloud
	if cloud == "" {
		cloud = os.Getenv("OS_CLOUD")
	}
	if cloud == "" {
		return credentials{}, fmt.Errorf("%s: which cloud of it? name one (or set OS_CLOUD)", o.CloudsFile)
	}
	path, err := cloudsFile(o.CloudsFile)
	if err != nil {
		return credentials{}, err
	}
	for _, p := range []string{path, filepath.Join(filepath.Dir(path), "secure.yaml")} {
		if err := checkMode(p); err != nil {
			return credentials{}, err
		}
	}
	auth, at, conf, err := clouds.Parse(clouds.WithCloudName(cloud), clouds.WithLocations(path))
	if err != nil {
		return credentials{}, fmt.Errorf("cloud %q of %s: %w", cloud, path, withoutValues(err))
	}
	return credentials{auth: auth, region: at.Region, available: at.Availability, tls: conf}, nil
}

// cloudsFile finds the file by OpenStack's usual order.
func cloudsFile(path string) (string, error) {
	if path != "" {
		return path, nil
	}
	if path = os.Getenv("OS_CLIENT_CONFIG_FILE"); path != "" {
		return path, nil
	}
	candidates := []string{"clouds.yaml"}
	if dir, err := os.UserConfigDir(); err == nil {
		candidates = append(candidates, filepath.Join(dir, "openstack", "clouds.yaml"))
	}
	candidates = append(candidates, "/etc/openstack/clouds.yaml")
	for _, p := range candidates {
		if _, err := os.Stat(p); err == nil {
			return p, nil
		}
	}
	return "", fmt.Errorf("no clouds.yaml: looked for %v", candidates)
}

// checkMode refuses a file of secrets that every local user can read: the
// account in it may evacuate and stop every server of the cloud.
func checkMode(path string) error {
	info, err := os.Stat(path)
	if errors.Is(err, os.ErrNotExist) && filepath.Base(path) == "secure.yaml" {
		return nil
	}
	if err != nil {
		return err
	}
	if mode := info.Mode().Perm(); mode&0o006 != 0 {
		return fmt.Errorf("%s holds credentials and is open to every user (mode %04o): chmod o-rwx it", path, mode)
	}
	return nil
}

var quoted = regexp.MustCompile("`[^`]*`")

// withoutValues drops the values that the YAML decoder quotes in its errors:
// a password with a wrong type would be printed.
func withoutValues(err error) error { return errors.New(quoted.ReplaceAllString(err.Error(), "value")) }

// fromEnvironment reads the variables of an openrc file. gophercloud's own
// reader knows only OS_DOMAIN_*, not the OS_USER_DOMAIN_* and
// OS_PROJECT_DOMAIN_* that every openrc since Keystone v3 carries.
func fromEnvironment() (credentials, error) {
	auth := gophercloud.AuthOptions{
		IdentityEndpoint:            os.Getenv("OS_AUTH_URL"),
		Username:                    os.Getenv("OS_USERNAME"),
		UserID:                      firstEnv("OS_USER_ID", "OS_USERID"),
		Password:                    os.Getenv("OS_PASSWORD"),
		Passcode:                    os.Getenv("OS_PASSCODE"),
		DomainID:                    firstEnv("OS_USER_DOMAIN_ID", "OS_DOMAIN_ID"),
		DomainName:                  firstEnv("OS_USER_DOMAIN_NAME", "OS_DOMAIN_NAME"),
		ApplicationCredentialID:     os.Getenv("OS_APPLICATION_CREDENTIAL_ID"),
		ApplicationCredentialName:   os.Getenv("OS_APPLICATION_CREDENTIAL_NAME"),
		ApplicationCredentialSecret: os.Getenv("OS_APPLICATION_CREDENTIAL_SECRET"),
	}
	if auth.DomainID != "" {
		auth.DomainName = "" // Keystone refuses both at once
	}
	if auth.ApplicationCredentialSecret == "" {
		auth.Scope = scopeFromEnvironment()
	}
	conf := &tls.Config{MinVersion: tls.VersionTLS12}
	if ca := os.Getenv("OS_CACERT"); ca != "" {
		pool, err := readCA(ca)
		if err != nil {
			return credentials{}, err
		}
		conf.RootCAs = pool
	}
	return credentials{
		auth:      auth,
		region:    os.Getenv("OS_REGION_NAME"),
		available: availability(firstEnv("OS_INTERFACE", "OS_ENDPOINT_TYPE")),
		tls:       conf,
	}, nil
}

func scopeFromEnvironment() *gophercloud.AuthScope {
	if os.Getenv("OS_SYSTEM_SCOPE") == "all" {
		return &gophercloud.AuthScope{System: true}
	}
	if id := firstEnv("OS_PROJECT_ID", "OS_TENANT_ID"); id != "" {
		return &gophercloud.AuthScope{ProjectID: id}
	}
	name := firstEnv("OS_PROJECT_NAME", "OS_TENANT_NAME")
	if name == "" {
		return nil
	}
	scope := &gophercloud.AuthScope{ProjectName: name, DomainID: firstEnv("OS_PROJECT_DOMAIN_ID", "OS_DOMAIN_ID")}
	if scope.DomainID == "" {
		scope.DomainName = firstEnv("OS_PROJECT_DOMAIN_NAME", "OS_DOMAIN_NAME")
	}
	return scope
}

func firstEnv(names ...string) string {
	for _, n := range names {
		if v := os.Getenv(n); v != "" {
			return v
		}
	}
	return ""
}

func availability(s string) gophercloud.Availability {
	switch s {
	case "internal", "internalURL":
		return gophercloud.AvailabilityInternal
	case "admin", "adminURL":
		return gophercloud.AvailabilityAdmin
	}
	return gophercloud.AvailabilityPublic
}

func readCA(path string) (*x509.CertPool, error) {
	pem, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("certificate authority: %w", err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("certificate authority %s: no PEM certificate in it", path)
	}
	return pool, nil
}
