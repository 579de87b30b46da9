package stack

import (
	"time"

	"synscope/event"
)

// An Observer is told what crosses the link and what netstack's endpoints do.
// Its methods are called on the data path, by many goroutines at once and some
// under an endpoint's lock: they must not block and must not call back into the
// Stack. A nil Observer in Config means nobody.
type Observer interface {
	// Packet tells of one IP packet on the link, before netstack handles it
	// or just before it is written, and returns the packet's ordinal in the
	// run. What it holds of the packet's Memory it releases in the end.
	Packet(p *event.Packet) (frame uint64)
	// State tells of a state of an endpoint of ours that differs from the one
	// told before. Calls for one endpoint do not overlap.
	State(s event.EndpointState)
	// Drop tells that a segment told before was not handed to netstack.
	Drop(d event.PacketDrop)
	// Unreachable tells of a packet that no connection can come of.
	Unreachable(at time.Time, u *event.Unreachable)
}

type nobody struct{}

func (nobody) Packet(*event.Packet) uint64               { return 0 }
func (nobody) State(event.EndpointState)                 {}
func (nobody) Drop(event.PacketDrop)                     {}
func (nobody) Unreachable(time.Time, *event.Unreachable) {}
