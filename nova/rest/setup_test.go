package rest

import (
	"testing"
	"time"

	"github.com/lifeboat-ha/lifeboat/nova/novatest"
)

// account puts the emulator's account into the environment, and nothing else
// of the developer's own.
func account(t *testing.T) {
	t.Helper()
	for _, name := range []string{
		"OS_CLOUD", "OS_CLIENT_CONFIG_FILE", "OS_INTERFACE", "OS_ENDPOINT_TYPE", "OS_CACERT", "OS_PROJECT_ID", "OS_TENANT_ID",
		"OS_SYSTEM_SCOPE", "OS_USER_ID", "OS_USERID", "OS_PASSCODE", "OS_DOMAIN_ID", "OS_DOMAIN_NAME",
		"OS_APPLICATION_CREDENTIAL_ID", "OS_APPLICATION_CREDENTIAL_NAME", "OS_APPLICATION_CREDENTIAL_SECRET",
		"OS_USER_DOMAIN_ID", "OS_PROJECT_DOMAIN_ID", "OS_TENANT_NAME",
	} {
		t.Setenv(name, "")
	}
	t.Setenv("OS_AUTH_URL", "http://nova.test/identity")
	t.Setenv("OS_USERNAME", novatest.User)
	t.Setenv("OS_PASSWORD", novatest.Password)
	t.Setenv("OS_PROJECT_NAME", novatest.Project)
	t.Setenv("OS_USER_DOMAIN_NAME", novatest.Domain)
	t.Setenv("OS_PROJECT_DOMAIN_NAME", novatest.Domain)
	t.Setenv("OS_REGION_NAME", novatest.Region)
}

// connected makes an empty cloud and a client of it.
func connected(t *testing.T, o novatest.Options, change ...func(*Options)) (*novatest.Cloud, *Client) {
	t.Helper()
	account(t)
	o.Now = time.Now
	cloud := novatest.New(o)
	t.Cleanup(cloud.Close)
	options := Options{Now: time.Now, Transport: cloud.Transport()}
	for _, f := range change {
		f(&options)
	}
	client, err := Connect(t.Context(), options)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = client.Close() })
	return cloud, client
}
