// Package vip plays what happens to a control plane's address, with the real
// keepalived, HAProxy and kernel in network namespaces, and holds what
// detector/vip finds of it against docs/vip.md: what is named, and how soon. It
// needs root and the packages of `make vip-packages`; see rig_test.go.
package vip
