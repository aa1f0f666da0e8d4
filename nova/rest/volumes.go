package rest

import (
	"context"
	"strings"

	"github.com/lifeboat-ha/lifeboat/nova"
)

// VolumeServices lists cinder-volume of each backend, from Cinder's os-services
// (block-storage API v3). It needs Cinder in Keystone's catalog and an account that may
// list its services.
func (c *Client) VolumeServices(ctx context.Context) (nova.Control, error) {
	var reply struct {
		Services []struct {
			Binary string `json:"binary"`
			Host   string `json:"host"`
			State  string `json:"state"`
			Status string `json:"status"`
		} `json:"services"`
	}
	doing := "list cinder-volume services"
	if _, err := c.get(ctx, request{name: "volume_services", doing: doing, service: "volume", path: "os-services?binary=cinder-volume", into: &reply}); err != nil {
		return nil, err
	}
	var all nova.Control
	for _, s := range reply.Services {
		state := nova.StateUnknown
		switch {
		case s.Binary != "cinder-volume" || s.Status == "disabled": // somebody wanted it so
			continue
		case s.State == "up":
			state = nova.StateUp
		case s.State == "down":
			state = nova.StateDown
		}
		all = append(all, nova.ControlService{Binary: s.Binary, Host: nova.HostName(s.Host), State: state})
	}
	return all, nil
}

// volumeBase keeps the project that Cinder has in its path.
func volumeBase(a string) string { return strings.TrimRight(a, "/") + "/" }
