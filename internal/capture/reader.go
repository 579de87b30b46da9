package capture

import (
	"io"
	"time"

	"synscope/tlsbridge/tlswire"
)

// An Item is what a capture holds next: a packet or secrets.
type Item struct {
	// Secrets are those of a Decryption Secrets Block; Packet is zero then.
	// The secrets of a block of more than maxBlock bytes come in several Items.
	// They are the caller's.
	Secrets []tlswire.Secret
	Packet  Packet
}

// A Packet is one packet of the file, whatever it holds.
type Packet struct {
	// Time is when it was captured, in UTC: zero if the file does not say, as
	// with Simple Packet Blocks, or if it says a year outside 1 to 9999.
	Time time.Time
	// Number counts all packets of the file from 1, not only those of IP. It
	// is the number that Wireshark shows.
	Number uint64
	// Interface is the interface's index in its section, 0 in a pcap file.
	Interface int
	// IP is the packet from the IP header on, without what the link adds behind
	// it. It holds at least the whole IPv4 header, or the 40 bytes of the IPv6
	// header. It is nil if Skipped says why. It is valid until the next call of
	// Next and is not to be written to.
	IP []byte
	// Len is the length of the IP packet on the wire: more than len(IP) if the
	// snap length cut it. Where segmentation offload left the length in the IP
	// header at zero, the length is that of the frame. 0 if IP is nil.
	Len int
	// Skipped says why IP is nil: "ARP", "unknown link type 147", "fragment
	// waits", …
	Skipped string
}

// Stats counts what the packets alone do not tell.
type Stats struct {
	// MalformedSecrets counts lines of Decryption Secrets Blocks that are no
	// lines of a key log.
	MalformedSecrets uint64
	// Fragments says what became of the fragments.
	Fragments FragmentStats
}

// A source reads the packets and secrets of one format.
type source interface {
	// next reads the next record. It returns io.EOF at the end of a file that
	// is whole, and a *DamageError where it is not.
	next(*record) error
}

// A record is a packet or secrets as the file has it.
type record struct {
	secrets []tlswire.Secret // if not empty, the rest is unset

	time    time.Time
	iface   int
	link    *link
	data    []byte // from the link header on, valid until the next read
	length  int    // of the packet on the wire, at least len(data)
	skipped string // if not empty, data is not the packet
}

// A Reader reads the packets of a capture file. It is not safe for concurrent
// use.
type Reader struct {
	source    source
	rec       record // the last one
	number    uint64
	fragments reassembler
	malformed uint64 // lines of secrets
	err       error  // that ended the reading; stays
}

// NewReader returns a reader of the capture in r, which is named name in
// errors. It reads the beginning of r to tell the format: the error is a
// *FormatError if it is none that is read, saying what it is instead, and a
// *DamageError if the file ends, or cannot be decompressed, within its header.
// The caller closes r.
func NewReader(r io.Reader, name string) (*Reader, error) {
	in, magic, err := open(r, name)
	if err != nil {
		return nil, err
	}
	reader := &Reader{}
	if magic == magicSectionHeader {
		reader.source = &pcapng{in: in, malformed: &reader.malformed}
		return reader, nil
	}
	if reader.source, err = newPcap(in); err != nil {
		return nil, err
	}
	return reader, nil
}

// Next returns the next item. The error is io.EOF after the last one, and a
// *DamageError after the last whole one of a damaged file; it is returned again
// by further calls.
func (r *Reader) Next() (Item, error) {
	if r.err != nil {
		return Item{}, r.err
	}
	rec := &r.rec
	if err := r.source.next(rec); err != nil {
		r.err = err
		return Item{}, err
	}
	if len(rec.secrets) > 0 {
		return Item{Secrets: rec.secrets}, nil
	}
	r.number++
	p := Packet{Time: rec.time, Number: r.number, Interface: rec.iface, Skipped: rec.skipped}
	if p.Skipped == "" {
		r.fill(&p, rec)
	}
	return Item{Packet: p}, nil
}

// fill finds the IP packet in a record, or the reason why there is none.
func (r *Reader) fill(p *Packet, rec *record) {
	family, payload, skipped := rec.link.payload(rec.data)
	if skipped != "" {
		p.Skipped = skipped
		return
	}
	wire := rec.length - (len(rec.data) - len(payload))
	p.IP, p.Len, p.Skipped = trim(family, payload, wire)
	if p.IP == nil {
		return
	}
	f, skipped := parseFragment(p.IP, p.Len, rec.iface)
	switch {
	case skipped != "":
		r.fragments.stats.Refused++
	case f == nil:
		return
	default:
		p.IP, skipped = r.fragments.add(f, rec.time, p.Number)
	}
	p.Skipped = skipped
	if skipped != "" {
		p.IP = nil
	}
	p.Len = len(p.IP)
}

// Stats returns the counts up to the last item read. After the end,
// Fragments.Waiting is the number of datagrams that were never completed.
func (r *Reader) Stats() Stats {
	s := Stats{MalformedSecrets: r.malformed, Fragments: r.fragments.stats}
	s.Fragments.Waiting = r.fragments.waiting()
	return s
}
