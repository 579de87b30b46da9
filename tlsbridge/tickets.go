package tlsbridge

import (
	"crypto/rand"
	"crypto/tls"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"golang.org/x/crypto/cryptobyte"
)

// ticketKeyFile holds the keys, one a line, the newest first: the time it was
// made (RFC 3339) and 64 hexadecimal digits.
const ticketKeyFile = "ticket-keys"

const (
	// ticketLifetime is how long crypto/tls accepts a ticket, and the most
	// that RFC 8446, section 4.6.1, allows.
	ticketLifetime = 7 * 24 * time.Hour
	// ticketKeyPeriod is the age from which on a key is followed by a new one.
	ticketKeyPeriod = 24 * time.Hour
	// maxTicketKeys bounds the keys: one for each day that a ticket lives.
	maxTicketKeys = 8
)

func newTicketKey() (key [32]byte) {
	rand.Read(key[:]) // never fails
	return key
}

// LoadOrCreateTicketKeys returns the session ticket keys kept in the file
// ticket-keys in dir, the newest first, and creates the file if there is none.
// If the newest is older than a day, a new one is put before it; keys whose
// tickets have all expired are forgotten. The file must be readable by its
// owner only. Call it from one process at a time.
func LoadOrCreateTicketKeys(dir string) ([][32]byte, error) {
	return loadOrCreateTicketKeys(filepath.Join(dir, ticketKeyFile), time.Now())
}

func loadOrCreateTicketKeys(path string, now time.Time) ([][32]byte, error) {
	text, err := readPrivate(path)
	if errors.Is(err, fs.ErrNotExist) {
		keys := []ticketKey{{now, newTicketKey()}}
		if err := writeExclusive(path, formatTicketKeys(keys), privateMode); err != nil {
			return nil, err
		}
		return secrets(keys), nil
	}
	if err != nil {
		return nil, err
	}
	keys, err := parseTicketKeys(text)
	if err != nil {
		return nil, fmt.Errorf("tlsbridge: %s: %w", path, err)
	}
	rotated := rotate(keys, now)
	if !slices.Equal(rotated, keys) {
		if err := replace(path, formatTicketKeys(rotated), privateMode); err != nil {
			return nil, err
		}
	}
	return secrets(rotated), nil
}

type ticketKey struct {
	made   time.Time
	secret [32]byte
}

func secrets(keys []ticketKey) [][32]byte {
	s := make([][32]byte, len(keys))
	for i, k := range keys {
		s[i] = k.secret
	}
	return s
}

// rotate returns keys with a new one in front if it is time, without those
// that were followed by another so long ago that their tickets have expired.
func rotate(keys []ticketKey, now time.Time) []ticketKey {
	kept := slices.Clone(keys)
	if len(kept) == 0 || now.Sub(kept[0].made) > ticketKeyPeriod {
		kept = slices.Insert(kept, 0, ticketKey{now, newTicketKey()})
	}
	for i := 1; i < len(kept); i++ {
		if now.Sub(kept[i-1].made) > ticketLifetime {
			kept = kept[:i]
		}
	}
	return kept[:min(len(kept), maxTicketKeys)]
}

func formatTicketKeys(keys []ticketKey) []byte {
	var b []byte
	for _, k := range keys {
		b = fmt.Appendf(b, "%s %x\n", k.made.UTC().Format(time.RFC3339), k.secret)
	}
	return b
}

func parseTicketKeys(text []byte) ([]ticketKey, error) {
	var keys []ticketKey
	n := 0
	for line := range strings.Lines(string(text)) {
		n++
		made, digits, _ := strings.Cut(strings.TrimSpace(line), " ")
		var k ticketKey
		var err error
		if k.made, err = time.Parse(time.RFC3339, made); err != nil {
			return nil, fmt.Errorf("line %d: the time is not one of RFC 3339", n)
		}
		secret, err := hex.DecodeString(digits)
		if err != nil || len(secret) != len(k.secret) {
			return nil, fmt.Errorf("line %d: the key is not of %d hexadecimal digits", n, 2*len(k.secret))
		}
		copy(k.secret[:], secret)
		keys = append(keys, k)
	}
	return keys, nil
}

// An offer is a ticket that the client offered, until it is known and told
// what became of it. The zero offer is none.
type offer struct {
	made   bool
	reason string // why it is refused, if it is
}

// unwrap is the handshake's tls.Config.UnwrapSession, if somebody watches: it
// decides as crypto/tls does without. In TLS 1.3 it is called
// for each identity until one is accepted; the last one is told.
func (h *handshake) unwrap(ticket []byte, cs tls.ConnectionState) (*tls.SessionState, error) {
	if len(ticket) == 0 {
		return nil, nil // TLS 1.2: the client asks for a ticket and has none
	}
	state, err := h.config.DecryptTicket(ticket, cs)
	if err != nil || state == nil {
		h.offer = offer{true, "it is altered, or of a key that this server does not have"}
		return nil, nil
	}
	session, err := parseSession(state)
	if err != nil {
		return nil, err
	}
	h.offer = offer{true, session.refusal(h.hello, cs.Version)}
	if session.version <= tls.VersionTLS12 && session.version == cs.Version {
		// crypto/tls writes no key log line for a resumed session.
		if random := clientRandom(h.conn.transport.head); random != nil {
			h.conn.watch.secret("CLIENT_RANDOM", slices.Clone(random), slices.Clone(session.secret), true)
		}
	}
	return state, nil
}

// tellTicket tells, once, what became of the ticket offered.
func (h *handshake) tellTicket(resumed bool) {
	if !h.offer.made {
		return
	}
	if resumed {
		h.conn.watch.ok(stepTicket, "accepted")
	} else {
		h.conn.watch.failed(stepTicket, "refused: "+h.offer.reason)
	}
	h.offer = offer{}
}

// A session is what crypto/tls encodes first of a tls.SessionState.
type session struct {
	version, suite uint16
	made           time.Time
	secret         []byte // the master secret (TLS 1.2 and older), or the PSK
}

func parseSession(state *tls.SessionState) (*session, error) {
	b, err := state.Bytes()
	if err != nil {
		return nil, fmt.Errorf("tlsbridge: encoding a session state: %w", err)
	}
	var (
		s      session
		in     = cryptobyte.String(b)
		kind   uint8
		made   uint64
		secret cryptobyte.String
	)
	const server = 1
	if !in.ReadUint16(&s.version) || !in.ReadUint8(&kind) || kind != server ||
		!in.ReadUint16(&s.suite) || !in.ReadUint64(&made) || !in.ReadUint8LengthPrefixed(&secret) {
		return nil, errors.New("tlsbridge: crypto/tls encodes session states differently than expected")
	}
	s.made = time.Unix(int64(made), 0)
	s.secret = secret
	return &s, nil
}

// refusal returns why crypto/tls will refuse the session, should it do so. It
// does not say, so this follows its rules.
func (s *session) refusal(hello *tls.ClientHelloInfo, version uint16) string {
	switch {
	case s.version != version:
		return fmt.Sprintf("it is of %s, and %s was negotiated", tls.VersionName(s.version), tls.VersionName(version))
	case time.Since(s.made) > ticketLifetime:
		return "it is older than 7 days"
	case version <= tls.VersionTLS12 && !slices.Contains(hello.CipherSuites, s.suite):
		return fmt.Sprintf("its cipher suite %s is no longer offered", tls.CipherSuiteName(s.suite))
	}
	return "its cipher suite, its client certificate or its extended master secret does not suit this connection"
}
