package app

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/lifeboat-ha/lifeboat/config"
	"github.com/lifeboat-ha/lifeboat/detector"
	"github.com/lifeboat-ha/lifeboat/evacuate"
	"github.com/lifeboat-ha/lifeboat/fence"
	"github.com/lifeboat-ha/lifeboat/nova"
	"github.com/lifeboat-ha/lifeboat/nova/rest"
)

// cloud is the leader's look at Nova, and the only way to evacuate.
type cloud struct {
	options rest.Options
	now     func() time.Time
	log     *slog.Logger

	mu      sync.Mutex
	client  *rest.Client
	sight   evacuate.NovaSight
	control nova.Control // of sight
	servers map[nova.HostName][]nova.Server
	moved   map[nova.HostName]time.Time // updated_at as last seen
	touched map[nova.HostName]time.Time // by our own writes

	rooms         evacuate.RoomSight
	roomsDue      time.Time
	spare         *evacuate.Spare // of spareOf
	spareOf       evacuate.RoomSight
	aggregates    []nova.Aggregate
	aggregatesAt  time.Time
	aggregatesErr string
	aggregatesDue time.Time
}

func newCloud(c config.Nova, images bool, now func() time.Time, log *slog.Logger) *cloud {
	o := rest.Default()
	o.Cloud, o.CloudsFile, o.Region, o.Interface = c.Cloud, c.CloudsFile, c.Region, c.Interface
	o.Endpoints, o.AuthEndpoints, o.PlacementEndpoints, o.CAFile = c.Endpoints, c.AuthEndpoints, c.PlacementEndpoints, c.CA
	o.ImageEndpoints, o.Images = c.ImageEndpoints, images
	if c.Timeout > 0 {
		o.Timeout = c.Timeout
	}
	o.Now, o.Log = now, log
	return &cloud{options: o, now: now, log: log, servers: map[nova.HostName][]nova.Server{},
		moved: map[nova.HostName]time.Time{}, touched: map[nova.HostName]time.Time{}}
}

// connected gives the client, logging in if that has not worked yet.
func (c *cloud) connected(ctx context.Context) (*rest.Client, error) {
	c.mu.Lock()
	cl := c.client
	c.mu.Unlock()
	if cl != nil {
		return cl, nil
	}
	cl, err := rest.Connect(ctx, c.options)
	if err != nil {
		return nil, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.client != nil {
		_ = cl.Close()
		return c.client, nil
	}
	c.client = cl
	return cl, nil
}

func (c *cloud) close() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.client == nil {
		return nil
	}
	return c.client.Close()
}

// novaTimeout bounds one look at Nova.
const novaTimeout = 10 * time.Second

// look reads services, and tells the table what each nova-compute reported.
func (c *cloud) look(ctx context.Context, see func(nova.HostName, nova.ServiceState, time.Time)) error {
	ctx, cancel := context.WithTimeout(ctx, novaTimeout)
	defer cancel()
	cl, err := c.connected(ctx)
	if err != nil {
		return c.failed(err)
	}
	// Side by side: a slow Nova is looked at in the time of the longest answer.
	var control nova.Control
	var controlErr error
	var wait sync.WaitGroup
	wait.Go(func() { control, controlErr = cl.ControlServices(ctx) })
	services, apiNow, err := cl.Services(ctx)
	wait.Wait()
	if err := cmp.Or(err, controlErr); err != nil {
		return c.failed(err)
	}
	now := c.now()
	byHost := make(map[nova.HostName]nova.Service, len(services))
	c.mu.Lock()
	for _, s := range services {
		byHost[s.Host] = s
		see(s.Host, s.State, c.reported(s, apiNow, now))
	}
	c.sight = evacuate.NovaSight{At: now, Services: byHost, Conductors: control.Up("nova-conductor"), Schedulers: control.Up("nova-scheduler")}
	c.control = control
	c.mu.Unlock()
	return nil
}

// ourWrites is how long after a write of ours a moved row proves nothing.
const ourWrites = 15 * time.Second

// reported is when a service's row last moved by itself, on our clock: the
// age of its stamp on Nova's. Zero if it did not move.
func (c *cloud) reported(s nova.Service, apiNow, now time.Time) time.Time {
	before, known := c.moved[s.Host]
	c.moved[s.Host] = s.UpdatedAt
	if !known || !s.UpdatedAt.After(before) || s.Disabled || now.Sub(c.touched[s.Host]) < ourWrites {
		return time.Time{}
	}
	age := max(apiNow.Sub(s.UpdatedAt), 0)
	return now.Add(-age)
}

func (c *cloud) failed(err error) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.sight.Err = err.Error()
	return err
}

// listFailures of one round end it: then it is Nova rather than a host's cell.
const listFailures = 3

// list reads the servers of the given hosts: what is lost if they die. One that can't be
// listed, as in a cell that is down, keeps no other back.
func (c *cloud) list(ctx context.Context, hosts []nova.HostName) error {
	cl, err := c.connected(ctx)
	if err != nil {
		return err
	}
	var failed []error
	for _, h := range hosts {
		lctx, cancel := context.WithTimeout(ctx, novaTimeout)
		servers, err := cl.Servers(lctx, h)
		cancel()
		if err != nil {
			if failed = append(failed, err); len(failed) == listFailures || ctx.Err() != nil {
				break
			}
			continue
		}
		c.mu.Lock()
		c.servers[h] = servers
		c.mu.Unlock()
	}
	return errors.Join(failed...)
}

func (c *cloud) seen() (evacuate.NovaSight, map[nova.HostName][]nova.Server) {
	c.mu.Lock()
	defer c.mu.Unlock()
	servers := make(map[nova.HostName][]nova.Server, len(c.servers))
	for h, s := range c.servers {
		servers[h] = s
	}
	sight := c.sight
	sight.Aggregates, sight.AggregatesAt, sight.AggregatesErr = c.aggregates, c.aggregatesAt, c.aggregatesErr
	return sight, servers
}

// What the runner asks of Nova.

func (c *cloud) Service(ctx context.Context, host nova.HostName) (nova.Service, error) {
	cl, err := c.connected(ctx)
	if err != nil {
		return nova.Service{}, err
	}
	return cl.Service(ctx, host)
}

func (c *cloud) UpdateService(ctx context.Context, id string, u nova.ServiceUpdate) (nova.Service, error) {
	cl, err := c.connected(ctx)
	if err != nil {
		return nova.Service{}, err
	}
	c.touch(id)
	s, err := cl.UpdateService(ctx, id, u)
	c.touch(id)
	return s, err
}

func (c *cloud) touch(id string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for h, s := range c.sight.Services {
		if s.ID == id {
			c.touched[h] = c.now()
		}
	}
}

func (c *cloud) ComputeStatusDisabled(ctx context.Context, host nova.HostName) (bool, error) {
	cl, err := c.connected(ctx)
	if err != nil {
		return false, err
	}
	return cl.ComputeStatusDisabled(ctx, host)
}

func (c *cloud) Aggregates(ctx context.Context) ([]nova.Aggregate, error) {
	cl, err := c.connected(ctx)
	if err != nil {
		return nil, err
	}
	return cl.Aggregates(ctx)
}

func (c *cloud) JoinAggregate(ctx context.Context, id int, host nova.HostName) error {
	cl, err := c.connected(ctx)
	if err != nil {
		return err
	}
	return cl.JoinAggregate(ctx, id, host)
}

func (c *cloud) LeaveAggregate(ctx context.Context, id int, host nova.HostName) error {
	cl, err := c.connected(ctx)
	if err != nil {
		return err
	}
	return cl.LeaveAggregate(ctx, id, host)
}

func (c *cloud) Claims(ctx context.Context, host nova.HostName) ([]nova.ServerID, error) {
	cl, err := c.connected(ctx)
	if err != nil {
		return nil, err
	}
	return cl.Claims(ctx, host)
}

func (c *cloud) Servers(ctx context.Context, host nova.HostName) ([]nova.Server, error) {
	cl, err := c.connected(ctx)
	if err != nil {
		return nil, err
	}
	return cl.Servers(ctx, host)
}

func (c *cloud) ServersSince(ctx context.Context, since time.Time) ([]nova.Server, error) {
	cl, err := c.connected(ctx)
	if err != nil {
		return nil, err
	}
	return cl.ServersSince(ctx, since)
}

func (c *cloud) Server(ctx context.Context, id nova.ServerID) (nova.Server, error) {
	cl, err := c.connected(ctx)
	if err != nil {
		return nova.Server{}, err
	}
	return cl.Server(ctx, id)
}

func (c *cloud) Stop(ctx context.Context, id nova.ServerID) (string, error) {
	cl, err := c.connected(ctx)
	if err != nil {
		return "", err
	}
	return cl.Stop(ctx, id)
}

func (c *cloud) Start(ctx context.Context, id nova.ServerID) (string, error) {
	cl, err := c.connected(ctx)
	if err != nil {
		return "", err
	}
	return cl.Start(ctx, id)
}

func (c *cloud) Moves(ctx context.Context, source nova.HostName) ([]nova.Migration, error) {
	cl, err := c.connected(ctx)
	if err != nil {
		return nil, err
	}
	return cl.Moves(ctx, source)
}

func (c *cloud) Evacuations(ctx context.Context, source nova.HostName) ([]nova.Migration, error) {
	cl, err := c.connected(ctx)
	if err != nil {
		return nil, err
	}
	return cl.Evacuations(ctx, source)
}

func (c *cloud) Actions(ctx context.Context, id nova.ServerID) ([]nova.InstanceAction, error) {
	cl, err := c.connected(ctx)
	if err != nil {
		return nil, err
	}
	return cl.Actions(ctx, id)
}

// Evacuate sends the POST, only with a proof for this host and boot in hand.
func (c *cloud) Evacuate(ctx context.Context, proof fence.Proof, source nova.HostName, boot string, id nova.ServerID, to nova.Target) (string, error) {
	if !proof.Covers(string(source), boot) {
		return "", &nova.Error{Doing: "evacuate " + string(id), Fault: nova.FaultUnsent, Err: fmt.Errorf("%w for %s", fence.ErrNoProof, source)}
	}
	cl, err := c.connected(ctx)
	if err != nil {
		return "", err
	}
	return cl.Evacuate(ctx, id, to)
}

// LiveMigrate moves a running server.
func (c *cloud) LiveMigrate(ctx context.Context, id nova.ServerID, to nova.HostName) (string, error) {
	cl, err := c.connected(ctx)
	if err != nil {
		return "", err
	}
	return cl.LiveMigrate(ctx, id, to)
}

// Reset resets a server's state, with a proof in hand like an evacuation.
func (c *cloud) Reset(ctx context.Context, proof fence.Proof, source nova.HostName, boot string, id nova.ServerID) (string, error) {
	if !proof.Covers(string(source), boot) {
		return "", &nova.Error{Doing: "reset " + string(id), Fault: nova.FaultUnsent, Err: fmt.Errorf("%w for %s", fence.ErrNoProof, source)}
	}
	cl, err := c.connected(ctx)
	if err != nil {
		return "", err
	}
	return cl.Reset(ctx, id)
}

// serviceSink adapts the table's Service.
func serviceSink(o *observer) func(nova.HostName, nova.ServiceState, time.Time) {
	return func(h nova.HostName, s nova.ServiceState, reported time.Time) {
		o.with(func(t *detector.Table) { t.Service(h, s, reported, o.now()) })
	}
}
