package rest

import (
	"context"

	"github.com/lifeboat-ha/lifeboat/nova"
)

// Aggregates lists all host aggregates: one call, not paged
// (api/openstack/compute/aggregates.py, index).
func (c *Client) Aggregates(ctx context.Context) ([]nova.Aggregate, error) {
	const doing = "list host aggregates"
	v, err := c.negotiated(ctx)
	if err != nil {
		return nil, err
	}
	var reply struct {
		Aggregates *[]struct {
			Name     string            `json:"name"`
			Zone     string            `json:"availability_zone"`
			Hosts    []nova.HostName   `json:"hosts"`
			Metadata map[string]string `json:"metadata"`
		} `json:"aggregates"`
	}
	_, err = c.get(ctx, request{
		name: "aggregates", doing: doing, service: "compute", version: v.aggregates, path: "os-aggregates", into: &reply,
	})
	if err != nil {
		return nil, err
	}
	if reply.Aggregates == nil {
		return nil, unknown(doing, "the answer holds no list of aggregates")
	}
	list := make([]nova.Aggregate, 0, len(*reply.Aggregates))
	for _, a := range *reply.Aggregates {
		list = append(list, nova.Aggregate{Name: a.Name, Zone: a.Zone, Hosts: a.Hosts, Metadata: a.Metadata})
	}
	return list, nil
}
