package rest

import (
	"context"
	"fmt"
	"net/http"

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
			ID       int               `json:"id"`
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
		list = append(list, nova.Aggregate{ID: a.ID, Name: a.Name, Zone: a.Zone, Hosts: a.Hosts, Metadata: a.Metadata})
	}
	return list, nil
}

// JoinAggregate adds a host to an aggregate. Nova refuses (409) one that is in it, and one
// that would come into two zones (compute/api.py, AggregateAPI.add_host_to_aggregate).
func (c *Client) JoinAggregate(ctx context.Context, id int, host nova.HostName) error {
	return c.membership(ctx, "join_aggregate", "add_host", id, host)
}

// LeaveAggregate takes a host out of an aggregate.
func (c *Client) LeaveAggregate(ctx context.Context, id int, host nova.HostName) error {
	return c.membership(ctx, "leave_aggregate", "remove_host", id, host)
}

func (c *Client) membership(ctx context.Context, name, action string, id int, host nova.HostName) error {
	doing := fmt.Sprintf("%s %s, aggregate %d", action, host, id)
	if host == "" || id == 0 {
		return refuse(doing, "no host or no aggregate named")
	}
	v, err := c.negotiated(ctx)
	if err != nil {
		return unsentWrite(doing, err)
	}
	a, err := c.call(ctx, request{
		name: name, doing: doing, service: "compute", version: v.aggregates, method: http.MethodPost,
		path: fmt.Sprintf("os-aggregates/%d/action", id), body: map[string]any{action: map[string]nova.HostName{"host": host}},
	})
	if err != nil {
		return err
	}
	c.log.Info("aggregate changed", "action", action, "host", host, "aggregate", id, "request_id", a.requestID)
	return nil
}
