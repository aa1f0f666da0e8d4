package watch

import (
	"context"
	"errors"
	"fmt"
	"time"

	"golang.org/x/net/bpf"
	"golang.org/x/sys/unix"

	"github.com/lifeboat-ha/lifeboat/detector"
	"github.com/lifeboat-ha/lifeboat/detector/vip"
)

// census asks who has a VIP, and hears who says so. It returns when ctx ends, or
// with what keeps it from asking.
func (w *Watcher) census(ctx context.Context, v vip.VIP) error {
	if !w.o.Census {
		return nil
	}
	at, err := w.link(v.Name, v.Address)
	if err != nil {
		return err
	}
	own, ok := macOf(at)
	if !ok {
		return fmt.Errorf("%s is no Ethernet", at.Name)
	}
	foreign := vip.Foreign(own)
	protocol, also := uint16(unix.ETH_P_ARP), []detector.MAC{foreign}
	var filter []bpf.Instruction
	if v.Address.Is6() {
		protocol, filter = unix.ETH_P_IPV6, onlyAdvertisements
	}
	p, err := openPackets(at.Index, protocol, filter, also...)
	if err != nil {
		return err
	}
	defer func() { _ = p.file.Close() }()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer p.until(ctx)()
	w.asks(v.Name, true)
	defer w.asks(v.Name, false)
	w.can("census of " + v.Name)
	failed := make(chan error, 1)
	w.wg.Go(func() {
		failed <- w.askWho(ctx, p, vip.Question(v.Address, foreign))
		cancel()
	})
	for {
		frame, sent, err := p.read()
		if err != nil {
			cancel()
			return errors.Join(<-failed, unlessGone(err))
		}
		if addr, mac, ok := vip.Owner(frame); ok && !sent && addr == v.Address && mac != foreign {
			w.hear(v.Name, mac)
		}
	}
}

func unlessGone(err error) error {
	if gone(err) {
		return nil
	}
	return fmt.Errorf("hear answers: %w", err)
}

// askWho sends the question until ctx ends. A link that is down is no reason to give
// up: nobody answers there, and that is what there is to tell.
func (w *Watcher) askWho(ctx context.Context, p *packets, question []byte) error {
	tick := time.NewTicker(askEvery)
	defer tick.Stop()
	for {
		if err := p.write(question); err != nil && !errors.Is(err, unix.ENETDOWN) && !errors.Is(err, unix.ENOBUFS) && ctx.Err() == nil {
			return fmt.Errorf("ask who has the VIP: %w", err)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

func (w *Watcher) asks(name string, yes bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.vips[name].asks = yes
}

// groupsVRRP are where advertisements go (RFC 5798 5.1.1): a keepalived that died has
// left the group, so this socket joins it itself.
var groupsVRRP = []detector.MAC{{0x01, 0x00, 0x5e, 0x00, 0x00, 0x12}, {0x33, 0x33, 0x00, 0x00, 0x00, 0x12}}

// listen hears the advertisements that name a VIP, this machine's own too.
func (w *Watcher) listen(ctx context.Context, v vip.VIP) error {
	at, err := w.link(v.Name, v.Address)
	if err != nil {
		return err
	}
	p, err := openPackets(at.Index, unix.ETH_P_ALL, onlyVRRP, groupsVRRP...) // outgoing frames pass by ETH_P_ALL alone
	if err != nil {
		return err
	}
	defer func() { _ = p.file.Close() }()
	defer p.until(ctx)()
	w.hears(v.Name, true)
	defer w.hears(v.Name, false)
	w.can("VRRP of " + v.Name)
	for {
		frame, own, err := p.read()
		switch {
		case err != nil && ctx.Err() != nil:
			return nil
		case errors.Is(err, unix.ENETDOWN):
			continue // told once; the socket goes on when the link does
		case err != nil:
			return fmt.Errorf("hear VRRP: %w", err)
		case len(frame) < 14:
			continue
		}
		ad, err := vip.ParseVRRP(frame[14:])
		if err != nil {
			continue
		}
		for _, addr := range ad.Addresses {
			if addr == v.Address {
				w.advertised(v.Name, ad, own)
			}
		}
	}
}

func (w *Watcher) hears(name string, yes bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.vips[name].listens = yes
}
