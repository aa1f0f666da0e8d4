package novatest

import "github.com/lifeboat-ha/lifeboat/nova"

// SetVolumeServices says which cinder-volume services there are. One whose state is
// empty is disabled.
func (c *Cloud) SetVolumeServices(all ...nova.ControlService) { c.set(func() { c.volumes = all }) }

// listVolumeServices is cinder/api/contrib/services.py, index.
func (c *Cloud) listVolumeServices(q query) reply {
	if c.policy.Forbid {
		return forbidden("volume_extension:services:index")
	}
	rows := []any{}
	for _, s := range c.volumes {
		status, state := "enabled", string(s.State)
		if state == "" {
			status, state = "disabled", "down"
		}
		if b := q.URL.Query().Get("binary"); b == "" || b == s.Binary {
			rows = append(rows, map[string]any{"binary": s.Binary, "host": string(s.Host), "zone": "nova", "status": status, "state": state, "updated_at": nullTime(c.now())})
		}
	}
	return reply{status: 200, body: map[string]any{"services": rows}}
}
