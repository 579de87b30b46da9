package tlsbridge

import (
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode/utf8"

	"synscope/event"
)

// An Observer is told what our TLS endpoint does. Its methods must not block.
// They are called on the goroutine of the connection, one at a time for one
// connection; connections call at the same time. A nil Observer means nobody.
type Observer interface {
	// TLSStart tells that TLS begins on the connection: secrets will follow.
	TLSStart(flow event.Flow)

	// Secret tells a secret under its label of RFC 9850. The slices belong
	// to the observer. A candidate is the master secret (CLIENT_RANDOM) of a
	// ticket of TLS 1.2 or older that the client offered: the one in use if
	// the session is resumed, and meaningless if a Certificate follows.
	// It is called with a lock of crypto/tls held that all connections share.
	Secret(flow event.Flow, label string, clientRandom, secret []byte, candidate bool)

	// Step tells of one step. Besides the steps that event.TLSStep lists there
	// is "close": why we end a connection that the client did not end.
	Step(flow event.Flow, step event.TLSStep)

	// TLSEnd tells that the handshake is over, with the error of crypto/tls
	// or nil. No further secret comes for this connection.
	TLSEnd(flow event.Flow, err error)

	// Upstream tells what came of dialling a destination for the connection
	// of a client, and returns who is told of the leg. Where the dial failed
	// nothing more is told of it.
	Upstream(client event.Flow, dial event.Dial) UpstreamObserver
}

// A Story renders the timeline of a connection, as known so far, for the
// mirror service. Its methods may block until ctx is done.
type Story interface {
	Text(ctx context.Context, flow event.Flow) ([]byte, error) // the ladder, UTF-8
	JSON(ctx context.Context, flow event.Flow) ([]byte, error) // an array of events
}

// The steps told by this package; see event.TLSStep.
const (
	stepClientHello = "client_hello"
	stepTicket      = "ticket"
	stepVerify      = "verify"
	stepSign        = "sign"
	stepHandshake   = "handshake"
	stepPlain       = "plain"
	stepClose       = "close"
	stepPass        = "pass"
	stepLikeness    = "likeness"
)

// maxDetail bounds, in bytes, what a step quotes from the client: names and
// certificates may be of any length.
const maxDetail = 256

// A watch is the Observer of one connection.
type watch struct {
	flow event.Flow
	to   Observer // nil: nobody
}

func (w watch) start() {
	if w.to != nil {
		w.to.TLSStart(w.flow)
	}
}

func (w watch) end(err error) {
	if w.to != nil {
		w.to.TLSEnd(w.flow, err)
	}
}

func (w watch) secret(label string, random, secret []byte, candidate bool) {
	if w.to != nil {
		w.to.Secret(w.flow, label, random, secret, candidate)
	}
}

// ok tells of a step that went well.
func (w watch) ok(step, detail string) {
	w.step(event.TLSStep{Step: step, OK: true, Detail: detail})
}

// failed tells of a step that did not.
func (w watch) failed(step, why string) {
	w.step(event.TLSStep{Step: step, Error: why})
}

func (w watch) step(s event.TLSStep) {
	if w.to == nil {
		return
	}
	s.Detail, s.Error = bounded(s.Detail), bounded(s.Error)
	w.to.Step(w.flow, s)
}

// timed tells of a step that began at start and ended now, with err or well.
func (w watch) timed(step, detail string, start time.Time, err error) {
	s := event.TLSStep{Step: step, OK: err == nil, Detail: detail, Duration: time.Since(start)}
	if err != nil {
		s.Error = err.Error()
	}
	w.step(s)
}

// bounded returns s as valid UTF-8 of at most maxDetail bytes, with an ellipsis
// where it was cut.
func bounded(s string) string {
	s = strings.ToValidUTF8(s, "\uFFFD")
	if len(s) <= maxDetail {
		return s
	}
	cut := maxDetail - len("…")
	for !utf8.RuneStart(s[cut]) {
		cut--
	}
	return s[:cut] + "…"
}

// A keyLog is the KeyLogWriter of one connection: it is called with each secret.
// crypto/tls writes one whole line at a time: label, client random, secret (RFC
// 9850, section 2).
type keyLog func(label string, random, secret []byte)

func (k keyLog) Write(line []byte) (int, error) {
	label, rest, _ := bytes.Cut(bytes.TrimSuffix(line, []byte("\n")), []byte(" "))
	digits, secretDigits, ok := bytes.Cut(rest, []byte(" "))
	if !ok {
		return 0, errors.New("tlsbridge: key log line without three fields")
	}
	random, err := hex.AppendDecode(nil, digits)
	if err != nil {
		return 0, fmt.Errorf("tlsbridge: key log line, client random: %w", err)
	}
	secret, err := hex.AppendDecode(nil, secretDigits)
	if err != nil {
		return 0, fmt.Errorf("tlsbridge: key log line, secret: %w", err)
	}
	k(string(label), random, secret)
	return len(line), nil
}
