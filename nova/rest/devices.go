package rest

import (
	"context"
	"net/url"

	"github.com/lifeboat-ha/lifeboat/nova"
)

// Volumes are those that Nova has attached to a server. Nova answers from its own database,
// Cinder is not asked (api/openstack/compute/volumes.py, VolumeAttachmentController.index).
func (c *Client) Volumes(ctx context.Context, id nova.ServerID) ([]nova.Volume, error) {
	doing := "read the volumes of server " + string(id)
	v, err := c.negotiated(ctx)
	if err != nil {
		return nil, err
	}
	var reply struct {
		Attachments *[]struct {
			Volume     string  `json:"volumeId"`
			Attachment *string `json:"attachment_id"`
		} `json:"volumeAttachments"`
	}
	_, err = c.get(ctx, request{
		name: "volumes", doing: doing, service: "compute", version: v.volumes,
		path: "servers/" + url.PathEscape(string(id)) + "/os-volume_attachments", into: &reply,
	})
	if err != nil {
		return nil, err
	}
	if reply.Attachments == nil {
		return nil, unknown(doing, "the answer holds no list of volumes")
	}
	minor, _ := parseMicroversion(v.volumes)
	list := make([]nova.Volume, 0, len(*reply.Attachments))
	for _, a := range *reply.Attachments {
		w := nova.Volume{ID: a.Volume, Told: minor >= 89}
		if a.Attachment != nil {
			w.Attachment = *a.Attachment
		}
		list = append(list, w)
	}
	return list, nil
}

// Ports are a server's, as Nova hears of them from Neutron while it is asked
// (api/openstack/compute/attach_interfaces.py, index): where that does not answer, Nova
// answers with an error.
func (c *Client) Ports(ctx context.Context, id nova.ServerID) ([]nova.Port, error) {
	doing := "read the ports of server " + string(id)
	v, err := c.negotiated(ctx)
	if err != nil {
		return nil, err
	}
	var reply struct {
		Attachments *[]struct {
			ID    string `json:"port_id"`
			MAC   string `json:"mac_addr"`
			State string `json:"port_state"`
		} `json:"interfaceAttachments"`
	}
	_, err = c.get(ctx, request{
		name: "ports", doing: doing, service: "compute", version: v.ports,
		path: "servers/" + url.PathEscape(string(id)) + "/os-interface", into: &reply,
	})
	if err != nil {
		return nil, err
	}
	if reply.Attachments == nil {
		return nil, unknown(doing, "the answer holds no list of ports")
	}
	list := make([]nova.Port, 0, len(*reply.Attachments))
	for _, a := range *reply.Attachments {
		list = append(list, nova.Port{ID: a.ID, MAC: a.MAC, State: a.State})
	}
	return list, nil
}
