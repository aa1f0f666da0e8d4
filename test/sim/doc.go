// Package sim plays incidents: production controllers and agents (cmd/app, with
// ring, heartbeats, Raft, channel, judge, gates, engine) in the virtual time of
// testing/synctest, on a network, machines, BMCs and a Nova that live in memory and
// fail as they are told. It knows the truth, which nobody inside knows, and holds
// the invariants of docs/safety.md against all that is done.
//
// What is not production here:
//   - the network: packets take a tick of 1 ms or two; streams never fill up;
//   - the ledger's disk is memory and survives its process: an fsync costs nothing
//     and never fails (evacuate/ledger tests that);
//   - heartbeats are signed by a hash instead of Ed25519: it costs a third of all;
//   - ICMP and TCP probes are answered by the machines' state instead of kernels;
//   - BMCs are Redfish without TLS, Nova is nova/novatest without a socket;
//   - a process that is frozen sends nothing, hears nothing and sees its clock stand
//     still, then jump; but its timers run on in the meantime;
//   - times within one run are not repeated exactly by the same seed: the ring
//     and Raft draw their own random numbers. The faults are repeated.
package sim
