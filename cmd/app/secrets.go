package app

import (
	"crypto/ed25519"
	"crypto/rand"
	"encoding/base64"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"strings"
)

// newStart names one run of a process.
func newStart() string {
	b := make([]byte, 8)
	_, _ = rand.Read(b)
	return hex.EncodeToString(b)
}

// decodeRingKey reads the ring's key: base64 of 16, 24 or 32 bytes.
func decodeRingKey(s string) ([]byte, error) {
	key, err := base64.StdEncoding.DecodeString(strings.TrimSpace(s))
	if err != nil || (len(key) != 16 && len(key) != 24 && len(key) != 32) {
		return nil, errors.New("the ring's key must be base64 of 16, 24 or 32 bytes: make one with `lifeboat ring-key`")
	}
	return key, nil
}

// loadOrMakeKey keeps an Ed25519 key in a file of mode 0600.
func loadOrMakeKey(path string) (ed25519.PrivateKey, error) {
	b, err := os.ReadFile(path)
	if errors.Is(err, os.ErrNotExist) {
		_, key, err := ed25519.GenerateKey(rand.Reader)
		if err != nil {
			return nil, fmt.Errorf("make a key: %w", err)
		}
		block := pem.EncodeToMemory(&pem.Block{Type: "LIFEBOAT ED25519 SEED", Bytes: key.Seed()})
		if err := os.WriteFile(path, block, 0o600); err != nil {
			return nil, fmt.Errorf("write the key: %w", err)
		}
		return key, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read the key: %w", err)
	}
	block, _ := pem.Decode(b)
	if block == nil || len(block.Bytes) != ed25519.SeedSize {
		return nil, fmt.Errorf("the key in %s is damaged: move it away and remove and add this controller", path)
	}
	return ed25519.NewKeyFromSeed(block.Bytes), nil
}
