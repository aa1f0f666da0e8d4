package rest

import (
	"cmp"
	"context"
	"net/url"
	"slices"
	"strconv"

	"github.com/lifeboat-ha/lifeboat/nova"
)

// migration is a row of os-migrations.
type migration struct {
	ID        int    `json:"id"`
	UUID      string `json:"uuid"`
	Server    string `json:"instance_uuid"`
	Type      string `json:"migration_type"`
	Status    string `json:"status"`
	Source    string `json:"source_compute"`
	Dest      string `json:"dest_compute"`
	CreatedAt stamp  `json:"created_at"`
	UpdatedAt stamp  `json:"updated_at"`
}

func (m migration) word() nova.Migration {
	return nova.Migration{
		ID: m.ID, UUID: m.UUID, Server: nova.ServerID(m.Server), Type: m.Type,
		Status: nova.MigrationStatus(m.Status), Source: nova.HostName(m.Source), Dest: nova.HostName(m.Dest),
		CreatedAt: m.CreatedAt.Time, UpdatedAt: m.UpdatedAt.Time,
	}
}

// Evacuations lists every evacuation ever begun from source that Nova still
// remembers, oldest first. changes-since is never used: it compares
// updated_at, which is null in a row that the API just wrote, so exactly the
// new and the stuck ones would be invisible.
func (c *Client) Evacuations(ctx context.Context, source nova.HostName) ([]nova.Migration, error) {
	return c.migrationsOf(ctx, "list the evacuations of "+string(source), nova.TypeEvacuation, source)
}

// LiveMigrations lists the live migrations away from source: a server whose
// task is `migrating` may already run at the other end.
func (c *Client) LiveMigrations(ctx context.Context, source nova.HostName) ([]nova.Migration, error) {
	return c.migrationsOf(ctx, "list the live migrations of "+string(source), nova.TypeLiveMigration, source)
}

// Moves lists what else takes servers away from source: live migrations, resizes
// and cold migrations.
func (c *Client) Moves(ctx context.Context, source nova.HostName) ([]nova.Migration, error) {
	all, err := c.LiveMigrations(ctx, source)
	for _, kind := range []string{nova.TypeResize, nova.TypeMigration} {
		if err != nil {
			return nil, err
		}
		var more []nova.Migration
		more, err = c.migrationsOf(ctx, "list the resizes of "+string(source), kind, source)
		all = append(all, more...)
	}
	return all, err
}

func (c *Client) migrationsOf(ctx context.Context, doing, kind string, source nova.HostName) ([]nova.Migration, error) {
	if source == "" {
		return nil, refuse(doing, "no host named")
	}
	ctx, cancel := c.bound(ctx)
	defer cancel()
	v, err := c.negotiated(ctx)
	if err != nil {
		return nil, err
	}
	query := url.Values{"migration_type": {kind}, "source_compute": {string(source)}}
	minor, _ := parseMicroversion(v.migrations)
	pages := minor >= 59
	if pages {
		query.Set("limit", strconv.Itoa(pageSize))
	}
	var list []nova.Migration
	for {
		var page struct {
			Migrations *[]migration `json:"migrations"`
			Links      []link       `json:"migrations_links"`
		}
		_, err := c.get(ctx, request{
			name: "migrations", doing: doing, service: "compute", version: v.migrations,
			path: "os-migrations?" + query.Encode(), into: &page,
		})
		if err != nil {
			return nil, err
		}
		if page.Migrations == nil {
			return nil, unknown(doing, "the answer holds no list of migrations")
		}
		for _, m := range *page.Migrations {
			if m.Source != string(source) || m.Type != kind {
				return nil, refuse(doing, "filter dropped or hosts hidden: the account lacks the admin policy to list migrations by host")
			}
			list = append(list, m.word())
		}
		if !pages || len(*page.Migrations) == 0 || !hasNext(page.Links) {
			break
		}
		last := list[len(list)-1].UUID
		if query.Get("marker") == last || last == "" {
			return nil, unknown(doing, "Nova repeats the same page")
		}
		query.Set("marker", last)
	}
	// Nova answers newest first; ids are counted in each cell of their own.
	slices.SortStableFunc(list, func(a, b nova.Migration) int {
		return cmp.Or(a.CreatedAt.Compare(b.CreatedAt), cmp.Compare(a.ID, b.ID))
	})
	return list, nil
}

// Actions is the action log of a server, newest first (at most Nova's page).
func (c *Client) Actions(ctx context.Context, id nova.ServerID) ([]nova.InstanceAction, error) {
	doing := "read the actions of server " + string(id)
	v, err := c.negotiated(ctx)
	if err != nil {
		return nil, err
	}
	var reply struct {
		Actions *[]struct {
			Action    string `json:"action"`
			RequestID string `json:"request_id"`
			StartedAt stamp  `json:"start_time"`
			Message   string `json:"message"`
		} `json:"instanceActions"`
	}
	_, err = c.get(ctx, request{
		name: "actions", doing: doing, service: "compute", version: v.actions,
		path: "servers/" + url.PathEscape(string(id)) + "/os-instance-actions", into: &reply,
	})
	if err != nil {
		return nil, err
	}
	if reply.Actions == nil {
		return nil, unknown(doing, "the answer holds no list of actions")
	}
	list := make([]nova.InstanceAction, 0, len(*reply.Actions))
	for _, a := range *reply.Actions {
		list = append(list, nova.InstanceAction{
			Action: a.Action, RequestID: a.RequestID, StartedAt: a.StartedAt.Time, Message: a.Message,
		})
	}
	slices.SortStableFunc(list, func(a, b nova.InstanceAction) int { return b.StartedAt.Compare(a.StartedAt) })
	return list, nil
}
