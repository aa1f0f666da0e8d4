package rest

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/gophercloud/gophercloud/v2"

	"github.com/lifeboat-ha/lifeboat/nova"
)

const secret = "hunter2-hunter2"

const cloudsYAML = `clouds:
  prod:
    region_name: north
    interface: internal
    auth:
      auth_url: https://keystone:5000/v3
      username: lifeboat
      password: ` + secret + `
      project_name: admin
      user_domain_name: Default
      project_domain_name: Service
  app:
    auth_type: v3applicationcredential
    auth:
      auth_url: https://keystone:5000
      application_credential_id: abc
      application_credential_secret: ` + secret + `
  token:
    auth: {auth_url: "https://keystone:5000", token: ` + secret + `}
  nobody:
    auth: {auth_url: "https://keystone:5000", password: ` + secret + `}
  nowhere:
    auth: {username: x, password: ` + secret + `}
`

func file(t *testing.T, dir, name, text string, mode os.FileMode) string {
	t.Helper()
	path := filepath.Join(dir, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(path, mode); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestCloudsFile(t *testing.T) {
	account(t)
	path := file(t, t.TempDir(), "clouds.yaml", cloudsYAML, 0o640)
	c, err := readCredentials(Options{CloudsFile: path, Cloud: "prod"})
	if err != nil {
		t.Fatal(err)
	}
	if c.auth.Password != secret || c.auth.Username != "lifeboat" || c.region != "RegionOne" && c.region != "north" ||
		c.available != gophercloud.AvailabilityInternal || c.auth.Scope.DomainName != "Service" {
		t.Errorf("read %+v", c)
	}
	c, err = readCredentials(Options{CloudsFile: path, Cloud: "prod", Region: "south", Interface: "public"})
	if err != nil || c.region != "south" || c.available != gophercloud.AvailabilityPublic {
		t.Errorf("overridden: %q %q %v", c.region, c.available, err)
	}
	if c, err = readCredentials(Options{CloudsFile: path, Cloud: "app"}); err != nil || c.auth.ApplicationCredentialSecret != secret {
		t.Errorf("application credential: %v", err)
	}
	t.Setenv("OS_CLOUD", "prod")
	if _, err = readCredentials(Options{CloudsFile: path}); err != nil {
		t.Errorf("named by OS_CLOUD: %v", err)
	}
}

func TestCredentialMistakes(t *testing.T) {
	for name, row := range map[string]struct {
		text  string
		cloud string
		mode  os.FileMode
		want  string
	}{
		"open to all":           {cloudsYAML, "prod", 0o644, "is open to every user (mode 0644): chmod o-rwx it"},
		"writable by all":       {cloudsYAML, "prod", 0o602, "is open to every user"},
		"no such cloud":         {cloudsYAML, "nope", 0o600, `cloud "nope"`},
		"no cloud named":        {cloudsYAML, "", 0o600, "which cloud of it?"},
		"bare token":            {cloudsYAML, "token", 0o600, "a bare token cannot be renewed"},
		"no user":               {cloudsYAML, "nobody", 0o600, "without a username"},
		"no auth_url":           {cloudsYAML, "nowhere", 0o600, "no auth_url"},
		"a value of wrong type": {"clouds:\n  prod:\n    auth: " + secret + "\n", "prod", 0o600, "cannot unmarshal"},
		"no YAML":               {"\t" + secret, "prod", 0o600, ""},
	} {
		t.Run(name, func(t *testing.T) {
			account(t)
			path := file(t, t.TempDir(), "clouds.yaml", row.text, row.mode)
			_, err := readCredentials(Options{CloudsFile: path, Cloud: row.cloud})
			if err == nil || !strings.Contains(err.Error(), row.want) || strings.Contains(err.Error(), "\n") && name == "open to all" {
				t.Fatalf("%v", err)
			}
			if strings.Contains(err.Error(), secret) {
				t.Errorf("the secret is in: %v", err)
			}
			if _, err := Connect(t.Context(), Options{CloudsFile: path, Cloud: row.cloud, Now: clock}); nova.FaultOf(err) != nova.FaultRefused {
				t.Errorf("%v", err)
			}
		})
	}
	account(t)
	dir := t.TempDir()
	path := file(t, dir, "clouds.yaml", cloudsYAML, 0o600)
	file(t, dir, "secure.yaml", "clouds: {}", 0o644)
	if _, err := readCredentials(Options{CloudsFile: path, Cloud: "prod"}); err == nil || !strings.Contains(err.Error(), "secure.yaml") {
		t.Errorf("an open secure.yaml: %v", err)
	}
	if _, err := readCredentials(Options{CloudsFile: dir + "/none.yaml", Cloud: "prod"}); err == nil {
		t.Error("a file that is not there")
	}
}

func TestCloudsFileSearch(t *testing.T) {
	account(t)
	home, here := t.TempDir(), t.TempDir()
	t.Chdir(here)
	t.Setenv("XDG_CONFIG_HOME", home)
	t.Setenv("HOME", home)
	if _, err := cloudsFile(""); err == nil && !fileThere("/etc/openstack/clouds.yaml") {
		t.Error("found one where there is none")
	}
	inHome := file(t, home, "openstack/clouds.yaml", cloudsYAML, 0o600)
	if got, _ := cloudsFile(""); got != inHome {
		t.Errorf("found %s", got)
	}
	file(t, here, "clouds.yaml", cloudsYAML, 0o600)
	if got, _ := cloudsFile(""); got != "clouds.yaml" {
		t.Errorf("found %s", got)
	}
	t.Setenv("OS_CLIENT_CONFIG_FILE", "/elsewhere.yaml")
	if got, _ := cloudsFile(""); got != "/elsewhere.yaml" {
		t.Errorf("found %s", got)
	}
}

func fileThere(path string) bool { _, err := os.Stat(path); return err == nil }

func TestEnvironment(t *testing.T) {
	for name, row := range map[string]struct {
		set  map[string]string
		want string // empty: fine
		ok   func(c credentials) bool
	}{
		"openrc of v3": {nil, "", func(c credentials) bool {
			return c.auth.DomainName == "Default" && c.auth.Scope.ProjectName == "admin" && c.auth.Scope.DomainName == "Default"
		}},
		"by ids": {map[string]string{"OS_USER_DOMAIN_ID": "d1", "OS_PROJECT_ID": "p1", "OS_USER_ID": "u1"}, "", func(c credentials) bool {
			return c.auth.DomainID == "d1" && c.auth.DomainName == "" && c.auth.Scope.ProjectID == "p1" && c.auth.UserID == "u1"
		}},
		"project domain by id": {map[string]string{"OS_PROJECT_DOMAIN_ID": "d2"}, "", func(c credentials) bool {
			return c.auth.Scope.DomainID == "d2" && c.auth.Scope.DomainName == ""
		}},
		"system scope": {map[string]string{"OS_SYSTEM_SCOPE": "all"}, "", func(c credentials) bool { return c.auth.Scope.System }},
		"application credential": {map[string]string{"OS_APPLICATION_CREDENTIAL_ID": "a", "OS_APPLICATION_CREDENTIAL_SECRET": secret, "OS_PASSWORD": ""}, "", func(c credentials) bool {
			return c.auth.Scope == nil && c.auth.ApplicationCredentialSecret == secret
		}},
		"old names":      {map[string]string{"OS_PROJECT_NAME": "", "OS_TENANT_NAME": "old", "OS_USER_DOMAIN_NAME": "", "OS_DOMAIN_NAME": "dom"}, "", func(c credentials) bool { return c.auth.Scope.ProjectName == "old" && c.auth.DomainName == "dom" }},
		"admin face":     {map[string]string{"OS_INTERFACE": "admin"}, "", func(c credentials) bool { return c.available == gophercloud.AvailabilityAdmin }},
		"no address":     {map[string]string{"OS_AUTH_URL": ""}, "no auth_url", nil},
		"no URL":         {map[string]string{"OS_AUTH_URL": "keystone:5000"}, "http(s)://", nil},
		"password in it": {map[string]string{"OS_AUTH_URL": "http://me:" + secret + "@keystone"}, "credentials belong into clouds.yaml", nil},
		"no password":    {map[string]string{"OS_PASSWORD": ""}, "no password", nil},
		"passcode":       {map[string]string{"OS_PASSCODE": "123"}, "one-time passcode", nil},
		"no such CA":     {map[string]string{"OS_CACERT": "/nowhere"}, "certificate authority", nil},
		"no CA in it":    {map[string]string{"OS_CACERT": "credentials_test.go"}, "no PEM certificate", nil},
	} {
		t.Run(name, func(t *testing.T) {
			account(t)
			for k, v := range row.set {
				t.Setenv(k, v)
			}
			c, err := readCredentials(Options{})
			switch {
			case row.want == "" && (err != nil || !row.ok(c)):
				t.Errorf("%+v, %v", c.auth, err)
			case row.want != "" && (err == nil || !strings.Contains(err.Error(), row.want)):
				t.Errorf("%v", err)
			case err != nil && strings.Contains(err.Error(), secret):
				t.Errorf("the secret is in: %v", err)
			}
		})
	}
}

func TestOptionMistakes(t *testing.T) {
	err := Options{Interface: "private", Timeout: -1, Endpoints: []string{"nova:8774"}, AuthEndpoints: []string{"http://u:" + secret + "@h"}, PlacementEndpoints: []string{"http://[::1"}}.Validate()
	for _, want := range []string{"interface", "timeout", "endpoints:", "auth_endpoints: http://u:xxxxx@h", "placement_endpoints: an address that is no URL"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q is not among: %v", want, err)
		}
	}
	if err != nil && strings.Contains(err.Error(), secret) {
		t.Error("the secret is shown")
	}
	if Default().Validate() != nil {
		t.Error("the default is faulty")
	}
	if _, err := Connect(t.Context(), Options{}); err == nil {
		t.Error("no clock")
	}
}
