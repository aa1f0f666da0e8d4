//go:build !faults

package app

func crashPoint() func(string) { return nil }
