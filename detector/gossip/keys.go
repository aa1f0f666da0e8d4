package gossip

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"sync"

	"github.com/hashicorp/memberlist"
)

// Keys is the ring's key ring. A rotation adds the new key everywhere, then
// uses it everywhere, then removes the old one.
type Keys struct {
	mu   sync.Mutex
	ring *memberlist.Keyring
}

func newKeys(keys [][]byte) (*Keys, error) {
	ring, err := memberlist.NewKeyring(keys, keys[0])
	if err != nil {
		return nil, fmt.Errorf("gossip: key ring: %w", err)
	}
	return &Keys{ring: ring}, nil
}

// Add lets the ring decrypt with a key.
func (k *Keys) Add(key []byte) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	if err := k.ring.AddKey(bytes.Clone(key)); err != nil {
		return fmt.Errorf("gossip: add a key: %w", err)
	}
	return nil
}

// Use encrypts with a key that was added.
func (k *Keys) Use(key []byte) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	if err := k.ring.UseKey(key); err != nil {
		return fmt.Errorf("gossip: use a key: %w", err)
	}
	return nil
}

// Remove forgets a key that is not in use.
func (k *Keys) Remove(key []byte) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	keys := k.ring.GetKeys()
	if bytes.Equal(keys[0], key) {
		return errors.New("gossip: remove a key: it is the one in use")
	}
	if !slices.ContainsFunc(keys, func(k []byte) bool { return bytes.Equal(k, key) }) {
		return errors.New("gossip: remove a key: it is not on the ring")
	}
	// memberlist moves the keys behind the removed one while others decrypt
	// with them. Taken off from the end, nothing moves.
	var behind [][]byte
	for i := len(keys) - 1; i > 0; i-- {
		last := keys[i]
		if err := k.ring.RemoveKey(last); err != nil {
			return fmt.Errorf("gossip: remove a key: %w", err)
		}
		if bytes.Equal(last, key) {
			break
		}
		behind = append(behind, last)
	}
	for i := len(behind) - 1; i >= 0; i-- {
		if err := k.ring.AddKey(behind[i]); err != nil {
			return fmt.Errorf("gossip: remove a key: %w", err)
		}
	}
	return nil
}

// Count is how many keys there are.
func (k *Keys) Count() int {
	k.mu.Lock()
	defer k.mu.Unlock()
	return len(k.ring.GetKeys())
}
