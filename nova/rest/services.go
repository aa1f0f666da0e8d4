package rest

import (
	"context"
	"net/http"
	"net/url"
	"time"

	"github.com/lifeboat-ha/lifeboat/nova"
)

// maxReason is the length of services.disabled_reason in Nova's database.
const maxReason = 255

// service is a row of os-services. gophercloud's own type fails the whole list
// on a row without an id, which is how Nova shows a service whose cell it
// cannot reach (api/openstack/compute/services.py, _get_service_detail).
type service struct {
	ID             string `json:"id"`
	Binary         string `json:"binary"`
	Host           string `json:"host"`
	Zone           string `json:"zone"`
	Status         string `json:"status"`
	State          string `json:"state"`
	DisabledReason string `json:"disabled_reason"`
	ForcedDown     bool   `json:"forced_down"`
	UpdatedAt      stamp  `json:"updated_at"`
}

func (s service) state() nova.ServiceState {
	switch {
	case s.ID == "":
	case s.State == "up":
		return nova.StateUp
	case s.State == "down":
		return nova.StateDown
	}
	return nova.StateUnknown
}

func (s service) word() nova.Service {
	return nova.Service{
		ID: s.ID, Host: nova.HostName(s.Host), Zone: s.Zone, State: s.state(),
		Disabled: s.Status == "disabled", DisabledReason: s.DisabledReason,
		ForcedDown: s.ForcedDown, UpdatedAt: s.UpdatedAt.Time,
	}
}

func (c *Client) services(ctx context.Context, doing, binary string, host nova.HostName) ([]service, answer, error) {
	v, err := c.negotiated(ctx)
	if err != nil {
		return nil, answer{}, err
	}
	query := url.Values{"binary": {binary}}
	if host != "" {
		query.Set("host", string(host))
	}
	var list struct {
		Services *[]service `json:"services"`
	}
	a, err := c.get(ctx, request{
		name: "services", doing: doing, service: "compute", version: v.services,
		path: "os-services?" + query.Encode(), into: &list,
	})
	if err != nil {
		return nil, a, err
	}
	if list.Services == nil {
		return nil, a, unknown(doing, "the answer holds no list of services")
	}
	return *list.Services, a, nil
}

// Services lists every nova-compute service, and the API's own clock: a host's
// state is judged there, so a skewed clock makes healthy hosts look down
// (servicegroup/drivers/db.py, is_up).
func (c *Client) Services(ctx context.Context) ([]nova.Service, time.Time, error) {
	rows, a, err := c.services(ctx, "list compute services", "nova-compute", "")
	if err != nil {
		return nil, time.Time{}, err
	}
	list := make([]nova.Service, 0, len(rows))
	for _, s := range rows {
		list = append(list, s.word())
	}
	return list, a.date, nil
}

// Service is the nova-compute service of one host.
func (c *Client) Service(ctx context.Context, host nova.HostName) (nova.Service, error) {
	doing := "read the compute service of " + string(host)
	if host == "" {
		return nova.Service{}, refuse(doing, "no host named")
	}
	rows, _, err := c.services(ctx, doing, "nova-compute", host)
	if err != nil {
		return nova.Service{}, err
	}
	if len(rows) == 0 {
		return nova.Service{}, &nova.Error{Doing: doing, Fault: nova.FaultNotFound}
	}
	if len(rows) > 1 || rows[0].Host != string(host) {
		return nova.Service{}, unknown(doing, "Nova answers with other rows than this host's one service")
	}
	return rows[0].word(), nil
}

// ControlServices lists Nova's conductors and schedulers.
func (c *Client) ControlServices(ctx context.Context) (nova.Control, error) {
	ctx, cancel := c.bound(ctx)
	defer cancel()
	var all nova.Control
	for _, binary := range []string{nova.Conductor, nova.Scheduler} {
		rows, _, err := c.services(ctx, "list "+binary+" services", binary, "")
		if err != nil {
			return nil, err
		}
		for _, s := range rows {
			all = append(all, nova.ControlService{
				Binary: s.Binary, Host: nova.HostName(s.Host), State: s.state(), UpdatedAt: s.UpdatedAt.Time,
			})
		}
	}
	return all, nil
}

// Ping proves in one cheap call that Nova's API answers, reaches its database
// and accepts our token.
func (c *Client) Ping(ctx context.Context) error {
	_, _, err := c.services(ctx, "ping Nova", nova.Scheduler, "")
	return err
}

// update is the body of PUT os-services/{id} from 2.53 on. Pointers, because
// forced_down:false must really be sent.
type update struct {
	Status         string `json:"status,omitempty"`
	DisabledReason string `json:"disabled_reason,omitempty"`
	ForcedDown     *bool  `json:"forced_down,omitempty"`
}

func bodyOf(u nova.ServiceUpdate) (update, string) {
	body := update{ForcedDown: u.ForcedDown, DisabledReason: u.DisabledReason}
	disables := u.Disabled != nil && *u.Disabled
	switch {
	case u.Disabled == nil && u.ForcedDown == nil:
		return body, "nothing to change"
	case u.DisabledReason != "" && !disables:
		return body, "a reason belongs to a disabling"
	case len(u.DisabledReason) > maxReason:
		return body, "the reason is longer than 255 bytes"
	case disables:
		body.Status = "disabled"
	case u.Disabled != nil:
		body.Status = "enabled"
	}
	return body, ""
}

// UpdateService changes a service in one PUT. Nova saves the row first and then
// calls the compute, unless the service reads as down
// (compute/api.py, HostAPI.service_update): a disable alone of a freshly dead
// host takes effect at once and answers after a minute, so a time-out means
// nothing. Together with forced_down there is no such call.
//
// Force a host down only after it is proven to be off: Nova lets anybody
// evacuate from it at once.
func (c *Client) UpdateService(ctx context.Context, id string, u nova.ServiceUpdate) (nova.Service, error) {
	doing := "update compute service " + id
	body, mistake := bodyOf(u)
	if id == "" {
		mistake = "no service named"
	}
	if mistake != "" {
		return nova.Service{}, refuse(doing, mistake)
	}
	v, err := c.negotiated(ctx)
	if err != nil {
		return nova.Service{}, unsentWrite(doing, err)
	}
	var reply struct {
		Service service `json:"service"`
	}
	a, err := c.call(ctx, request{
		name: "update_service", doing: doing, service: "compute", version: v.update,
		method: http.MethodPut, path: "os-services/" + url.PathEscape(id), body: body, into: &reply,
	})
	if err != nil {
		return nova.Service{}, err
	}
	c.log.Info("compute service updated", "host", reply.Service.Host, "status", reply.Service.Status,
		"forced_down", reply.Service.ForcedDown, "request_id", a.requestID)
	return reply.Service.word(), nil
}
