package pcapng

import (
	"bufio"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"net/netip"
	"testing"
	"time"

	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/layers"

	"synscope/event"
	"synscope/tlsbridge/tlswire"
)

// A step is what the endpoint of a connection saw: bytes of a side, a secret, or
// the end of the handshake.
type step struct {
	from   event.Side
	data   []byte
	secret *tlswire.Secret
	ready  bool
}

// A recorder is the endpoint's side of a connection. It is used by one
// goroutine.
type recorder struct {
	net.Conn
	t     *testing.T
	steps []step
}

func (r *recorder) Read(b []byte) (int, error) {
	n, err := r.Conn.Read(b)
	r.bytes(event.Client, b[:n])
	return n, err
}

func (r *recorder) Write(b []byte) (int, error) {
	r.bytes(event.Server, b)
	return r.Conn.Write(b)
}

func (r *recorder) bytes(from event.Side, b []byte) {
	if len(b) > 0 {
		r.steps = append(r.steps, step{from: from, data: append([]byte(nil), b...)})
	}
}

// keyLog takes the lines of crypto/tls.
type keyLog struct{ *recorder }

func (k keyLog) Write(b []byte) (int, error) {
	s, ok, err := tlswire.ParseKeyLogLine(string(b))
	if err != nil || !ok {
		k.t.Errorf("key log line: %v", err)
	}
	k.steps = append(k.steps, step{secret: &s})
	return len(b), nil
}

// recordTLS has a client of crypto/tls make one HTTP request of a server of
// crypto/tls, in the given version, and returns what the server saw.
func recordTLS(t *testing.T, version uint16) []step {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	served := make(chan []step)
	go func() { served <- serve(t, l, certificate(t)) }()
	client, err := tls.Dial("tcp", l.Addr().String(), &tls.Config{
		InsecureSkipVerify: true, ServerName: "shop.example", MinVersion: version, MaxVersion: version,
	})
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	io.WriteString(client, "GET /hats HTTP/1.1\r\nHost: shop.example\r\n\r\n")
	if answer, err := io.ReadAll(client); err != nil || len(answer) == 0 {
		t.Errorf("the client read %q, %v", answer, err)
	}
	return <-served
}

func serve(t *testing.T, l net.Listener, cert tls.Certificate) []step {
	raw, err := l.Accept()
	if err != nil {
		t.Error(err)
		return nil
	}
	defer raw.Close()
	r := &recorder{Conn: raw, t: t}
	conn := tls.Server(r, &tls.Config{Certificates: []tls.Certificate{cert}, KeyLogWriter: keyLog{r}})
	if err := conn.Handshake(); err != nil {
		t.Errorf("the server's handshake: %v", err)
		return r.steps
	}
	r.steps = append(r.steps, step{ready: true})
	if _, err := http.ReadRequest(bufio.NewReader(conn)); err != nil {
		t.Errorf("the server read %v", err)
	}
	io.WriteString(conn, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nboots")
	conn.Close()
	return r.steps
}

func certificate(t *testing.T) tls.Certificate {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Error(err)
	}
	c := &x509.Certificate{SerialNumber: big.NewInt(1), DNSNames: []string{"shop.example"}, NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, c, c, key.Public(), key)
	if err != nil {
		t.Error(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

// A link numbers the packets of several connections, and hands them to a Writer
// as a tracer would.
type link struct {
	t     *testing.T
	w     *Writer
	frame uint64
	now   time.Time
	conns uint64
	sent  []string // what Wireshark is to say of each packet: see TestDecryption
}

func newLink(t *testing.T, w *Writer) *link {
	return &link{t: t, w: w, now: time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)}
}

// A wire is one connection of it.
type wire struct {
	*link
	id   uint64
	addr [3]netip.AddrPort // by Side
	seq  [3]uint32         // next of each side
	n    uint64            // events

	partial bool // checksums are left to the device
	segment int  // of super-packets
}

// open begins a connection, over IPv6 for even ids.
func (l *link) open() *wire {
	l.conns++
	c := &wire{link: l, id: l.conns, seq: [3]uint32{0, 1000, 5000}}
	c.addr[event.Client] = netip.AddrPortFrom(netip.MustParseAddr("198.18.0.1"), 40000+uint16(c.id))
	c.addr[event.Server] = netip.MustParseAddrPort("198.18.3.4:443")
	if c.id%2 == 0 {
		c.addr[event.Client] = netip.AddrPortFrom(netip.MustParseAddr("2001:2::1"), 40000+uint16(c.id))
		c.addr[event.Server] = netip.MustParseAddrPort("[2001:2::5]:443")
	}
	c.event(event.NoSide, event.Wire, &event.Open{Client: c.addr[event.Client], Server: c.addr[event.Server]})
	return c
}

// connect makes the TCP handshake.
func (c *wire) connect() {
	c.send(event.Client, event.SYN, nil)
	c.send(event.Server, event.SYN|event.ACK, nil)
	c.send(event.Client, event.ACK, nil)
}

// play sends what was recorded, in segments of at most 1,000 bytes.
func (c *wire) play(steps []step) {
	for _, s := range steps {
		switch {
		case s.secret != nil:
			c.w.Secret(c.id, *s.secret)
		case s.ready:
			c.w.Ready(c.id)
		}
		for data := s.data; len(data) > 0; {
			n := min(len(data), 1000)
			c.send(s.from, event.ACK|event.PSH, data[:n])
			data = data[n:]
		}
	}
}

// event tells the Writer of an event, and returns its ordinal.
func (c *wire) event(from event.Side, view event.View, body event.Body) uint64 {
	c.n++
	c.w.Event(&event.Event{Time: c.now, Conn: c.id, N: c.n, View: view, From: from, Body: body})
	return c.n
}

// send sends a segment, and returns the ordinal of its event.
func (c *wire) send(from event.Side, flags event.Flags, data []byte) uint64 {
	ip := c.packet(from, flags, data)
	c.seq[from] += uint32(len(data))
	if flags&(event.SYN|event.FIN) != 0 {
		c.seq[from]++
	}
	c.pass(from, c.id, ip)
	return c.event(from, event.Wire, &event.Segment{Flags: flags, Len: len(data), Frame: c.frame})
}

// pass hands a packet to the Writer.
func (c *wire) pass(from event.Side, conn uint64, ip []byte) {
	c.frame++
	c.now = c.now.Add(time.Millisecond)
	headerGood, direction := "1", map[event.Side]string{event.Client: "0x00000001", event.Server: "0x00000002"}[from]
	if c.id%2 == 0 {
		headerGood = "" // IPv6 has no checksum
	}
	c.sent = append(c.sent, fmt.Sprintf("%d\t%d\tsyn0\t%s\t%s\t1", c.frame, c.frame, direction, headerGood))
	p := Packet{
		Time: c.now, Frame: c.frame, From: from, Conn: conn, IP: ip, Partial: c.partial, SegmentSize: c.segment,
	}
	if headers := 80; c.frame%2 == 0 && len(ip) > headers { // it makes no difference
		middle := headers + (len(ip)-headers)/2
		p.IP, p.More = ip[:headers], [][]byte{ip[headers:middle], ip[middle:]}
	}
	c.w.Packet(p)
	clear(ip) // it is valid during the call only
}

// packet encodes a segment.
func (c *wire) packet(from event.Side, flags event.Flags, data []byte) []byte {
	src, dst := c.addr[from], c.addr[from.Peer()]
	tcp := &layers.TCP{
		SrcPort: layers.TCPPort(src.Port()), DstPort: layers.TCPPort(dst.Port()),
		Seq: c.seq[from], Ack: c.seq[from.Peer()], Window: 65000,
		SYN: flags.Has(event.SYN), ACK: flags.Has(event.ACK), PSH: flags.Has(event.PSH), FIN: flags.Has(event.FIN), RST: flags.Has(event.RST),
	}
	var ip interface {
		gopacket.SerializableLayer
		gopacket.NetworkLayer
	} = &layers.IPv4{Version: 4, TTL: 64, Protocol: layers.IPProtocolTCP, SrcIP: src.Addr().AsSlice(), DstIP: dst.Addr().AsSlice()}
	if src.Addr().Is6() {
		ip = &layers.IPv6{Version: 6, HopLimit: 64, NextHeader: layers.IPProtocolTCP, SrcIP: src.Addr().AsSlice(), DstIP: dst.Addr().AsSlice()}
	}
	tcp.SetNetworkLayerForChecksum(ip)
	buf := gopacket.NewSerializeBuffer()
	opts := gopacket.SerializeOptions{FixLengths: true, ComputeChecksums: true}
	if err := gopacket.SerializeLayers(buf, opts, ip, tcp, gopacket.Payload(data)); err != nil {
		c.t.Fatal(err)
	}
	b := buf.Bytes()
	if c.partial {
		header := len(b) - len(data) - 20
		copy(b[header+16:], []byte{0xbe, 0xef})
	}
	return b
}
