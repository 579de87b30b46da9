package trace

import (
	"crypto/tls"
	"encoding/binary"
	"errors"
	"io"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"synscope/event"
	"synscope/tlsbridge/tlswire"
)

// A tape is one connection as a capture has it.
type tape struct {
	*player
	w      *wire // numbers its segments
	events *recorder
	frames *uint64
	at     *time.Time
}

func newTape(t *testing.T, l limits) *tape {
	events := newRecorder(t)
	at := time.Date(2026, 11, 25, 10, 0, 0, 0, time.UTC)
	return &tape{newPlayer(Config{Sinks: []Sink{events}}, l), newWire(t, nil), events, new(uint64), &at}
}

// another returns a tape of another client in the same capture.
func (r *tape) another(i int) *tape {
	o := *r
	o.w = r.w.another(i)
	return &o
}

// frame is a packet of the capture, a millisecond after the one before.
func (r *tape) frame(b []byte) bool {
	*r.frames++
	*r.at = r.at.Add(time.Millisecond)
	return r.packet(Recorded{Time: *r.at, Frame: *r.frames, IP: b, Len: len(b)})
}

// send is a segment that was captured. Its checksum is not the sender's: a
// device was to make it.
func (r *tape) send(from event.Side, flags event.Flags, payload string) {
	r.w.t.Helper()
	b := r.w.packet(from, flags, payload)
	binary.BigEndian.PutUint16(b[20+16:], 0xdead)
	if !r.frame(b) {
		r.w.t.Error("a segment was not taken for one")
	}
	clear(b) // valid only during the call
	r.skip(from, flags, payload)
}

// skip is a segment that was not captured.
func (r *tape) skip(from event.Side, flags event.Flags, payload string) {
	r.w.seq[from] += uint32(len(payload))
	if flags&(event.SYN|event.FIN) != 0 {
		r.w.seq[from]++
	}
}

func (r *tape) connect() {
	r.send(event.Client, event.SYN, "")
	r.send(event.Server, event.SYN|event.ACK, "")
	r.send(event.Client, event.ACK, "")
}

// play sends all flights of a session from the i-th on.
func (r *tape) play(s *session, i int) {
	for _, f := range s.flights[i:] {
		for b := f.data; len(b) > 0; {
			n := min(len(b), 16<<10)
			r.send(f.from, event.ACK|event.PSH, b[:n])
			b = b[n:]
		}
	}
}

// secrets returns the lines of the session's key log.
func (s *session) secrets(t testing.TB) []tlswire.Secret {
	t.Helper()
	var all []tlswire.Secret
	for r := tlswire.NewKeyLogReader(strings.NewReader(s.keys.String())); ; {
		secret, err := r.Read()
		if errors.Is(err, io.EOF) {
			return all
		} else if err != nil {
			t.Fatal(err)
		}
		all = append(all, secret)
	}
}

// established counts the handshakes that were told to be complete.
func (r *recorder) established() int {
	n := 0
	for _, e := range r.events {
		if _, ok := e.Body.(*event.Established); ok {
			n++
		}
	}
	return n
}

const recorded = `
	open
	client SYN
	wire client CLOSED > SYN-SENT: call connect
	server SYN ACK
	wire server LISTEN > SYN-RECEIVED: segment 2
	client ACK
	wire client SYN-SENT > ESTABLISHED: segment 4
	wire server SYN-RECEIVED > ESTABLISHED: segment 6
`

// Both sides' states are inferred, and what is open at the end is said to be.
func TestPlayer(t *testing.T) {
	r := newTape(t, replayLimits)
	r.connect()
	second := r.another(1)
	second.connect()
	r.send(event.Client, event.FIN|event.ACK, "")
	r.send(event.Server, event.FIN|event.ACK, "")
	r.send(event.Client, event.ACK, "")
	r.close()
	r.events.want(1, recorded+`
		client FIN ACK
		wire client ESTABLISHED > FIN-WAIT-1: call close
		server FIN ACK
		wire server ESTABLISHED > CLOSE-WAIT: segment 9
		wire client FIN-WAIT-1 > FIN-WAIT-2: segment 11
		wire server CLOSE-WAIT > LAST-ACK: call close
		client ACK
		wire client FIN-WAIT-2 > TIME-WAIT: segment 11
		wire server LAST-ACK > CLOSED: segment 15
		close fin client
	`)
	second.events.want(2, recorded+"close end_of_capture")
}

// Which side is the client is told by what the first segment seen is.
func TestPlayerFindsTheClient(t *testing.T) {
	hello := record(t, tls.VersionTLS13).flights
	low := netip.MustParseAddrPort("198.51.100.7:99")
	for _, tt := range []struct {
		name    string
		client  netip.AddrPort
		from    event.Side
		flags   event.Flags
		payload string
	}{
		{"SYN", low, event.Client, event.SYN, ""},
		{"SYN-ACK", low, event.Server, event.SYN | event.ACK, ""},
		{"ClientHello", low, event.Client, event.ACK, hello[0].data},
		{"ServerHello", low, event.Server, event.ACK, hello[1].data},
		{"segment of the higher port", testFlow.Client, event.Client, event.ACK, ""},
		{"segment of the lower port", testFlow.Client, event.Server, event.ACK, "x"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := newTape(t, replayLimits)
			r.w.flow.Client = tt.client
			r.send(tt.from, tt.flags, tt.payload)
			r.send(tt.from.Peer(), event.ACK, "")
			open, ok := r.events.of(1)[0].Body.(*event.Open)
			if !ok || open.Client != tt.client || open.Server != testFlow.Server {
				t.Errorf("%+v, want %v to be the client of %v", open, tt.client, testFlow.Server)
			}
			if got := r.events.of(2); got != nil {
				t.Errorf("the answer is told of another connection")
			}
		})
	}
}

// Ports that were used for one connection may be used the other way round.
func TestPlayerOfReversedConnection(t *testing.T) {
	r := newTape(t, replayLimits)
	r.connect()
	r.send(event.Client, event.RST, "")
	back := r.another(0)
	back.w.flow = event.Flow{Client: testFlow.Server, Server: testFlow.Client}
	back.connect()
	back.events.want(2, recorded)
}

// The SYN is missing or comes late: the SYN-ACK tells as well where the streams
// begin, so that TLS is found whatever the pieces in which it comes.
func TestPlayerWithoutSYN(t *testing.T) {
	s := record(t, tls.VersionTLS13)
	r := newTape(t, replayLimits)
	for _, secret := range s.secrets(t) {
		r.secret(secret)
	}
	r.skip(event.Client, event.SYN, "")
	r.send(event.Server, event.SYN|event.ACK, "")
	hello := s.flights[0]
	for i := range len(hello.data) {
		r.send(hello.from, event.ACK|event.PSH, hello.data[i:i+1])
	}
	r.play(s, 1)
	r.close()
	if n := r.events.established(); n != 1 {
		t.Errorf("%d handshakes complete, want 1", n)
	}
}

// The end of a connection, or the SYN of the next between the same ports, was not
// captured.
func TestPlayerOfRenewedConnection(t *testing.T) {
	for _, tt := range []struct {
		name  string
		renew func(r *tape)
	}{
		{"without the end", (*tape).connect},
		{"without the SYN", func(r *tape) {
			r.w.seq[event.Client] = 1006
			r.send(event.Client, event.RST, "")
			r.w.seq[event.Client] = 70_000
			r.skip(event.Client, event.SYN, "")
			r.send(event.Server, event.SYN|event.ACK, "")
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := newTape(t, replayLimits)
			r.connect()
			r.send(event.Client, event.ACK, "first")
			r.w.seq[event.Client], r.w.seq[event.Server] = 70_000, 90_000
			tt.renew(r)
			r.send(event.Client, event.ACK, "second")
			r.close()
			var sent []uint64
			for _, e := range r.events.events {
				if c, ok := e.Body.(*event.Close); ok {
					sent = append(sent, c.BytesClient)
				}
			}
			if !slices.Equal(sent, []uint64{5, 6}) {
				t.Errorf("connections with %d bytes of the client were told, want 5 and 6", sent)
			}
		})
	}
}

// Secrets open the connections that have their client random: those in front,
// those that come between ClientHello and ServerHello, and for both legs of a
// relay.
func TestPlayerSecrets(t *testing.T) {
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		s := record(t, version)
		other := record(t, version)
		t.Run(tls.VersionName(version), func(t *testing.T) {
			r := newTape(t, replayLimits)
			for _, secret := range append(other.secrets(t), s.secrets(t)...) {
				r.secret(secret)
			}
			r.connect()
			r.play(s, 0)
			leg := r.another(1)
			leg.connect()
			leg.play(s, 0)
			if n := r.events.established(); n != 2 {
				t.Errorf("with the secrets in front: %d handshakes complete, want 2", n)
			}

			r = newTape(t, replayLimits)
			r.connect()
			r.send(event.Client, event.ACK, s.flights[0].data)
			for _, secret := range s.secrets(t) {
				r.secret(secret)
			}
			r.play(s, 1)
			if n := r.events.established(); n != 1 {
				t.Errorf("with the secrets behind the ClientHello: %d handshakes complete, want 1", n)
			}
			r.close()
			if n := len(r.engine.keys.byRandom); n != 1 {
				t.Errorf("%d client randoms at the end, want the one with secrets", n)
			}

			r = newTape(t, replayLimits)
			r.connect()
			r.play(s, 0)
			r.close()
			if n := len(r.engine.keys.byRandom); n != 0 {
				t.Errorf("%d client randoms without secrets are still known", n)
			}
		})
	}
}

// The secrets are bounded; that some gave way is told.
func TestPlayerForgetsSecrets(t *testing.T) {
	l := replayLimits
	l.randoms = 2
	r := newTape(t, l)
	sessions := []*session{record(t, tls.VersionTLS13), record(t, tls.VersionTLS13), record(t, tls.VersionTLS13)}
	for _, s := range sessions {
		for _, secret := range s.secrets(t) {
			r.secret(secret)
		}
	}
	for i, s := range sessions {
		c := r.another(i)
		c.connect()
		c.play(s, 0)
	}
	if n := r.events.established(); n != 2 {
		t.Errorf("%d handshakes complete, want those of the newest two", n)
	}
	if n := r.engine.keys.takeDropped(); n != 1 {
		t.Errorf("%d are said to be dropped, want 1", n)
	}
}

// Secrets of labels that open nothing are not kept, nor is one more often than
// once, nor more than a handshake can have.
func TestPlayerKeepsUsefulSecrets(t *testing.T) {
	ring := newKeyRing(10)
	random := make([]byte, 32)
	add := func(label string, random []byte, value byte) {
		ring.add(tlswire.Secret{Label: label, ClientRandom: random, Secret: []byte{value}})
	}
	add("EXPORTER_SECRET", random, 1)
	add("CLIENT_RANDOM", random[:31], 1)
	if len(ring.byRandom) != 0 {
		t.Error("a secret was kept that opens nothing")
	}
	add("CLIENT_RANDOM", random, 1)
	add("CLIENT_RANDOM", random, 1)
	k := ring.byRandom[clientRandom(random)]
	if len(k.secrets) != 1 {
		t.Errorf("%d secrets, want 1", len(k.secrets))
	}
	for i := range 2 * maxKeys {
		add("CLIENT_RANDOM", random, byte(i))
	}
	if len(k.secrets) != maxKeys {
		t.Errorf("%d secrets, want %d", len(k.secrets), maxKeys)
	}
}

// TLS may begin late: after STARTTLS, in a tunnel, or where the capture begins
// in the middle.
func TestPlayerOfLateTLS(t *testing.T) {
	s := record(t, tls.VersionTLS13)
	for _, tt := range []struct {
		name   string
		before func(r *tape)
		want   string
	}{
		{"STARTTLS", func(r *tape) {
			r.connect()
			r.send(event.Server, event.ACK, "220 mx.example\r\n")
			r.send(event.Client, event.ACK, "STARTTLS\r\n")
			r.send(event.Server, event.ACK, "220 go ahead\r\n")
		}, "not tls"},
		{"CONNECT", func(r *tape) {
			r.connect()
			r.send(event.Client, event.ACK, "CONNECT shop.example:443 HTTP/1.1\r\n\r\n")
			r.send(event.Server, event.ACK, "HTTP/1.1 200 OK\r\n\r\n")
		}, "not tls"},
		{"mid-stream", func(r *tape) { r.send(event.Server, event.ACK, "the end of something") }, "gap"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := newTape(t, replayLimits)
			for _, secret := range s.secrets(t) {
				r.secret(secret)
			}
			tt.before(r)
			r.play(s, 0)
			r.close()
			if n := r.events.established(); n != 1 {
				t.Errorf("%d handshakes complete, want 1", n)
			}
			var sum event.Summary
			undecoded := ""
			for _, e := range r.events.of(1) {
				sum.Add(e)
				if u, ok := e.Body.(*event.Undecoded); ok {
					undecoded += u.Reason
				}
			}
			if undecoded != tt.want {
				t.Errorf("not decoded: %q, want %q", undecoded, tt.want)
			}
			if sum.TLS.State != event.TLSEstablished || sum.TLS.ServerName != "shop.example" {
				t.Errorf("summary: %+v", sum.TLS)
			}
		})
	}
}

// What our own endpoint takes for plain text is not looked at again.
func TestLateTLSIsNotForOurEndpoint(t *testing.T) {
	tr, events := newTestTracer(t, defaultLimits)
	w := newWire(t, tr)
	w.connect()
	w.client(event.ACK, "STARTTLS\r\n")
	w.client(event.ACK, record(t, tls.VersionTLS13).flights[0].data)
	w.sync()
	events.wantTLS(1, connected+`
		client ACK N bytes
		client tls undecoded: not tls
		client ACK N bytes
	`)
}

// Time is that of the capture: it lets go of what ended long ago, and of
// handshakes that nobody went on with.
func TestPlayerTime(t *testing.T) {
	r := newTape(t, replayLimits)
	r.send(event.Client, event.SYN, "")
	ended := r.another(1)
	ended.connect()
	ended.send(event.Client, event.RST, "")
	*r.at = r.at.Add(2 * time.Second)
	ended.send(event.Client, event.RST, "") // a stray one
	*r.at = r.at.Add(2 * time.Minute)
	third := r.another(2)
	third.connect()
	r.events.want(1, `
		open
		client SYN
		wire client CLOSED > SYN-SENT: call connect
		close evicted
	`)
	if n := len(r.engine.conns); n != 1 {
		t.Errorf("%d connections are followed, want 1", n)
	}
	if got := len(r.events.of(3)); got == 0 {
		t.Error("the third connection is not told")
	}
}

// Where packets have no time, or the clock goes back, no duration is negative.
func TestPlayerOfStrangeClocks(t *testing.T) {
	r := newTape(t, replayLimits)
	r.send(event.Client, event.SYN, "")
	*r.at = r.at.Add(-time.Hour)
	r.send(event.Server, event.SYN|event.ACK, "")
	*r.at = time.Time{}.Add(-time.Millisecond) // the next packet has none
	r.send(event.Client, event.ACK, "")
	r.close()
	es := r.events.of(1)
	for _, e := range es {
		if e.T < 0 || e.Time.IsZero() {
			t.Errorf("%s at %v, %v", line(e), e.Time, e.T)
		}
	}
	end := es[len(es)-1].Body.(*event.Close)
	if end.RTT < 0 || end.Duration < 0 || end.TCPHandshake < 0 {
		t.Errorf("durations: %+v", end)
	}
}

// Ended connections are kept for stray segments, as many as the bound says.
func TestPlayerForgetsEnded(t *testing.T) {
	l := replayLimits
	l.ended = 5
	r := newTape(t, l)
	for i := range 20 {
		c := r.another(i)
		c.connect()
		c.send(event.Client, event.RST, "")
		*r.at = r.at.Add(housekeeping)
	}
	if n := r.engine.ended.Len(); n > l.ended+1 {
		t.Errorf("%d ended connections are kept, want %d", n, l.ended)
	}
}

// A super-packet of more than 64 KB has no length in its IP header.
func TestPlayerOfLongPacket(t *testing.T) {
	r := newTape(t, replayLimits)
	r.connect()
	b := r.w.packet(event.Client, event.ACK, strings.Repeat("x", 1000))
	binary.BigEndian.PutUint16(b[2:], 0)
	r.frame(b)
	es := r.events.of(1)
	for _, e := range es {
		if s, ok := e.Body.(*event.Segment); ok && s.Len == 1000 {
			return
		}
	}
	t.Errorf("no segment of 1000 bytes: %s", line(es[len(es)-1]))
}

// What is not TCP is passed over.
func TestPlayerPassesOver(t *testing.T) {
	r := newTape(t, replayLimits)
	for _, b := range [][]byte{
		nil,
		{0x45},
		append([]byte{0x45, 0, 0, 28, 0, 0, 0, 0, 64, 17, 0, 0, 192, 0, 2, 1, 192, 0, 2, 2}, make([]byte, 8)...), // UDP
	} {
		if r.frame(b) {
			t.Errorf("%x was taken for TCP", b)
		}
	}
	r.close()
	if len(r.events.events) != 0 {
		t.Errorf("%d events", len(r.events.events))
	}
}
