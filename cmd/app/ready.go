package app

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"time"
)

const (
	// connectWithin bounds one connection to an instance.
	connectWithin = 2 * time.Second
	// connectMost is how many addresses of one instance are tried.
	connectMost = 4
)

// ports asks instances whether they are ready.
type ports struct{ c *Controller }

// Connect says whether one of an instance's addresses takes a TCP connection. Nothing is
// sent over it.
func (p ports) Connect(ctx context.Context, addresses []netip.Addr, port int) error {
	if len(addresses) == 0 {
		return errors.New("it has no address, by Nova")
	}
	ctx, cancel := context.WithTimeout(ctx, connectWithin)
	defer cancel()
	dial := (&net.Dialer{}).DialContext
	if n := p.c.seams.Network; n != nil {
		dial = func(ctx context.Context, _, address string) (net.Conn, error) { return n.Dial(ctx, address) }
	}
	addresses = addresses[:min(len(addresses), connectMost)]
	errs := make(chan error, len(addresses))
	for _, a := range addresses {
		go func() {
			conn, err := dial(ctx, "tcp", netip.AddrPortFrom(a, uint16(port)).String())
			if err == nil {
				_ = conn.Close()
			}
			errs <- err
		}()
	}
	var last error
	for range addresses {
		if last = <-errs; last == nil {
			cancel()
			return nil
		}
	}
	return fmt.Errorf("port %d of none of %v takes a connection: %w", port, addresses, last)
}
