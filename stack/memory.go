package stack

import gstack "gvisor.dev/gvisor/pkg/tcpip/stack"

// A memory is what an [event.Packet] of the link is in: a packet of netstack's, of
// which an observer may hold a reference.
//
// That keeps the bytes as they are. A chunk of netstack's buffers has a reference
// for each view of it, of whatever packet, and is written to only where that is the
// one view (gVisor's package buffer copies it otherwise). So it is enough that the
// held packet keeps its own views. They would go when netstack cuts off padding, or
// moves headers that share a chunk with another packet's:
//   - A packet that netstack sends is made for one transmission, which ends with
//     the link; the segment that is kept to be sent again has views of its own.
//   - Of one that comes in and is held, netstack gets a clone (see deliver).
type memory gstack.PacketBuffer

// Hold implements event.Memory.
func (m *memory) Hold() { (*gstack.PacketBuffer)(m).IncRef() }

// Release implements event.Memory.
func (m *memory) Release() { (*gstack.PacketBuffer)(m).DecRef() }
