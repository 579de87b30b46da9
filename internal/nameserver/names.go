package nameserver

import (
	"encoding/binary"
	"hash/fnv"
	"net/netip"
	"sync"

	"github.com/miekg/dns"
)

const (
	// slots is how many addresses there are to give out, of each family.
	slots = 1 << 16
	// maxNames bounds the names that are given one. Some room is left so that
	// a free slot is near.
	maxNames = slots / 4
	// firstSlot is where the slots begin in a prefix; the addresses before are
	// those of the client and of the server itself.
	firstSlot = 1 << 16
)

// Names gives each name an address of either family, the same one in each run
// as long as no other name has it, and keeps it. It is bounded: further names
// get none. It is safe for concurrent use.
type Names struct {
	v4, v6 netip.Prefix

	mu     sync.Mutex
	byName map[string]uint16
	bySlot map[uint16]string
}

// NewNames returns an empty table of addresses in two prefixes, of at most 15
// and 111 bits.
func NewNames(v4, v6 netip.Prefix) *Names {
	return &Names{v4: v4.Masked(), v6: v6.Masked(), byName: make(map[string]uint16), bySlot: make(map[uint16]string)}
}

// Lookup returns the addresses of a name, and whether there was still room for
// it.
func (n *Names) Lookup(name string) (v4, v6 netip.Addr, ok bool) {
	slot, ok := n.slot(canonical(name))
	if !ok {
		return v4, v6, false
	}
	return n.address(n.v4, slot), n.address(n.v6, slot), true
}

func (n *Names) slot(name string) (uint16, bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if slot, ok := n.byName[name]; ok {
		return slot, true
	}
	if len(n.byName) >= maxNames {
		return 0, false
	}
	h := fnv.New32a()
	h.Write([]byte(name))
	slot := uint16(h.Sum32())
	for n.bySlot[slot] != "" {
		slot++
	}
	n.byName[name], n.bySlot[slot] = slot, name
	return slot, true
}

// Name returns the name that an address was given for, or "".
func (n *Names) Name(a netip.Addr) string {
	p := n.v6
	if a.Is4() {
		p = n.v4
	}
	if !p.Contains(a) {
		return ""
	}
	b := a.AsSlice()
	slot := binary.BigEndian.Uint16(b[len(b)-2:])
	if n.address(p, slot) != a {
		return ""
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.bySlot[slot]
}

// address returns the address of a slot in a prefix.
func (n *Names) address(p netip.Prefix, slot uint16) netip.Addr {
	b := p.Addr().AsSlice()
	low := b[len(b)-4:]
	binary.BigEndian.PutUint32(low, binary.BigEndian.Uint32(low)+firstSlot+uint32(slot))
	a, _ := netip.AddrFromSlice(b) // of the length of an address
	return a
}

// canonical is a name in lower case without the final dot.
func canonical(name string) string {
	name = dns.CanonicalName(name)
	return name[:len(name)-1]
}
