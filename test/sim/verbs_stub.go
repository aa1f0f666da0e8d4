package sim

type armed struct{}

func (c *Cloud) pick(string) ([]string, error) { return nil, nil }
func (c *Cloud) disarm() {}
func (c *Cloud) reached(v *voter, r *voterRun, point string) {}
