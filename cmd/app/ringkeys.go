package app

import (
	"bytes"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/lifeboat-ha/lifeboat/detector/gossip"
	"github.com/lifeboat-ha/lifeboat/evacuate"
)

// ringKey is a key of the ring with its epoch. It travels over TLS to enrolled
// hosts and is never logged.
type ringKey struct {
	Epoch int    `json:"epoch"`
	Key   []byte `json:"key"`
}

// ringGrant is what a member of the ring is told of keys, as one controller's
// ledger has it.
type ringGrant struct {
	Generation int       `json:"generation"`
	Serial     int       `json:"serial"`
	Use        int       `json:"use"` // epoch
	Keys       []ringKey `json:"keys"`
}

// keysHeld is what a member says of its keys.
type keysHeld struct {
	Used int   `json:"used"`
	Held []int `json:"held"`
}

// sensorRingKey is the sensor by which an agent says which keys it has: "1:0,1"
// encrypts with 1, and decrypts with 0 as well. A heartbeat that has no room for it
// only holds a rotation up.
const sensorRingKey = "ring-key"

func (k keysHeld) String() string {
	words := make([]string, 0, len(k.Held))
	for _, e := range k.Held {
		words = append(words, strconv.Itoa(e))
	}
	return strconv.Itoa(k.Used) + ":" + strings.Join(words, ",")
}

func parseKeysHeld(s string) (keysHeld, bool) {
	used, held, ok := strings.Cut(s, ":")
	k := keysHeld{}
	var err error
	if k.Used, err = strconv.Atoi(used); err != nil || !ok {
		return keysHeld{}, false
	}
	for word := range strings.SplitSeq(held, ",") {
		e, err := strconv.Atoi(word)
		if err != nil {
			return keysHeld{}, false
		}
		k.Held = append(k.Held, e)
	}
	return k, true
}

// cameTo says that a member has done its part in the phase of a rotation.
func (k keysHeld) cameTo(r *evacuate.RingRotation) bool {
	switch r.Phase {
	case evacuate.RingDistribute:
		return slices.Contains(k.Held, r.New.Epoch)
	case evacuate.RingUse:
		return k.Used == r.New.Epoch
	case evacuate.RingRetire:
		return k.Used == r.New.Epoch && !slices.Contains(k.Held, r.Old.Epoch)
	case evacuate.RingDone, evacuate.RingAbandoned:
	}
	return false
}

// keyRing keeps this member's keys as it is told to. Until it is told, nobody
// knows which epoch its first key is of.
type keyRing struct {
	mu    sync.Mutex
	ring  *gossip.Keys
	keys  []ringKey // on the ring
	used  []byte
	told  bool
	grant ringGrant
}

func newKeyRing(ring *gossip.Keys, first []byte) *keyRing {
	return &keyRing{ring: ring, keys: []ringKey{{Epoch: -1, Key: first}}, used: first}
}

// held is for the acknowledgement; false before anybody told what the keys are.
func (k *keyRing) held() (keysHeld, bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if !k.told {
		return keysHeld{}, false
	}
	h := keysHeld{Used: k.grant.Use}
	for _, key := range k.keys {
		h.Held = append(h.Held, key.Epoch)
	}
	slices.Sort(h.Held)
	return h, true
}

// take does what a grant says: first it can decrypt with every key, then it
// encrypts with the one in force, and only then it forgets what is not listed. A
// controller that lags behind may tell less than was told before: that is passed
// over.
func (k *keyRing) take(g ringGrant) (inForce []byte, changed bool, err error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if older := g.Generation < k.grant.Generation || g.Generation == k.grant.Generation && g.Serial < k.grant.Serial; k.told && older {
		return k.used, false, nil
	}
	use := slices.IndexFunc(g.Keys, func(key ringKey) bool { return key.Epoch == g.Use })
	if use < 0 {
		return k.used, false, errors.New("the key in force is not among those given")
	}
	for _, key := range g.Keys {
		if !k.has(k.keys, key.Key) {
			if err := k.ring.Add(key.Key); err != nil {
				return k.used, false, err
			}
			k.keys = append(k.keys, ringKey{Epoch: -1, Key: key.Key})
		}
	}
	if err := k.ring.Use(g.Keys[use].Key); err != nil {
		return k.used, false, err
	}
	changed = !bytes.Equal(k.used, g.Keys[use].Key)
	k.used = g.Keys[use].Key
	for _, key := range k.keys {
		if !k.has(g.Keys, key.Key) {
			if err := k.ring.Remove(key.Key); err != nil {
				return k.used, changed, err
			}
		}
	}
	k.keys, k.grant, k.told = slices.Clone(g.Keys), g, true
	return k.used, changed, nil
}

func (k *keyRing) has(keys []ringKey, key []byte) bool {
	return slices.ContainsFunc(keys, func(o ringKey) bool { return bytes.Equal(o.Key, key) })
}

// ringPrint names a key without telling it: what it names is 16 random bytes or
// more.
func ringPrint(key []byte) string {
	sum := sha256.Sum256(append([]byte("lifeboat ring key\x00"), key...))
	return hex.EncodeToString(sum[:8])
}

func newRingKey() []byte {
	key := make([]byte, 32)
	_, _ = rand.Read(key)
	return key
}

// ringStore is a controller's own store of the keys that rotations made; the first
// one is the operator's, in ring.key_file.
type ringStore struct {
	path  string
	first []byte

	mu   sync.Mutex
	keys [][]byte // oldest first
}

const (
	ringKeysFile = "ring-keys.json"
	// keepRingKeys is how many keys that the ledger does not name are kept: a
	// restored ledger may name a former one.
	keepRingKeys = 4
)

func openRingStore(path string, first []byte) (*ringStore, error) {
	s := &ringStore{path: path, first: first}
	b, err := os.ReadFile(path)
	if errors.Is(err, os.ErrNotExist) {
		return s, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read the ring's keys: %w", err)
	}
	if json.Unmarshal(b, &s.keys) != nil {
		return nil, fmt.Errorf("the ring's keys in %s are damaged: move the file away, the other controllers have them", path)
	}
	return s, nil
}

// key gives a key by its name.
func (s *ringStore) key(name evacuate.RingKeyName) ([]byte, bool) {
	if name.Fingerprint == "" {
		return s.first, true
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, k := range s.keys {
		if ringPrint(k) == name.Fingerprint {
			return k, true
		}
	}
	return nil, false
}

// put stores a key. Those that the ledger names stay whatever comes.
func (s *ringStore) put(key []byte, named []evacuate.RingKeyName) error {
	if n := len(key); n != 16 && n != 24 && n != 32 {
		return fmt.Errorf("a ring key of %d bytes", n)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	next := slices.DeleteFunc(slices.Clone(s.keys), func(k []byte) bool { return bytes.Equal(k, key) })
	next = append(next, key)
	for i := 0; len(next) > keepRingKeys && i < len(next)-1; {
		if slices.ContainsFunc(named, func(n evacuate.RingKeyName) bool { return n.Fingerprint == ringPrint(next[i]) }) {
			i++
			continue
		}
		next = slices.Delete(next, i, i+1)
	}
	b, err := json.Marshal(next)
	if err != nil {
		return err
	}
	if err := writeFile(s.path, b); err != nil {
		return fmt.Errorf("save the ring's keys: %w", err)
	}
	s.keys = next
	return nil
}
