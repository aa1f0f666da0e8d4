package app

import (
	"context"

	"github.com/lifeboat-ha/lifeboat/nova"
)

// Volumes and Ports are what Nova has attached to a server.

func (c *cloud) Volumes(ctx context.Context, id nova.ServerID) ([]nova.Volume, error) {
	cl, err := c.connected(ctx)
	if err != nil {
		return nil, err
	}
	return cl.Volumes(ctx, id)
}

func (c *cloud) Ports(ctx context.Context, id nova.ServerID) ([]nova.Port, error) {
	cl, err := c.connected(ctx)
	if err != nil {
		return nil, err
	}
	return cl.Ports(ctx, id)
}
