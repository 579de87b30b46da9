package tlsbridge

import (
	"bytes"
	"crypto/tls"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// resumption is a server and a client with a cache of sessions.
type resumption struct {
	*fixture
	conf tls.Config
	log  bytes.Buffer // of the client
}

func newResumption(t *testing.T, version uint16) *resumption {
	r := &resumption{fixture: start(t, service(Echo(), everything()))}
	r.conf = tls.Config{
		MinVersion: version, MaxVersion: version,
		RootCAs: roots(), ServerName: "127.0.0.1",
		ClientSessionCache: tls.NewLRUClientSessionCache(1),
		KeyLogWriter:       &r.log,
	}
	return r
}

// visit makes one connection; what was seen of earlier ones is forgotten.
func (r *resumption) visit() tls.ConnectionState {
	r.t.Helper()
	r.seen.forget()
	r.log.Reset()
	c := tls.Client(r.dial(), &r.conf)
	wantEcho(r.t, c, "hello") // reads the TLS 1.3 ticket on the way
	c.Close()
	return c.ConnectionState()
}

func TestResumption(t *testing.T) {
	for _, v := range versions {
		t.Run(tls.VersionName(v), func(t *testing.T) {
			r := newResumption(t, v)
			if r.visit().DidResume {
				t.Fatal("resumed from nothing")
			}
			if s := r.seen.find("ticket"); len(s) != 0 {
				t.Errorf("steps %+v without a ticket", s)
			}
			full := parseKeyLog(t, &r.log)

			if err := r.Reconfigure(Config{Observer: r.seen, Select: r.config.Load().Select}); err != nil {
				t.Fatal(err)
			}
			if !r.visit().DidResume {
				t.Fatal("not resumed after Reconfigure")
			}
			r.seen.want(t, "ticket", true, "accepted")
			r.seen.want(t, "handshake", true, "resumed")
			if v == tls.VersionTLS13 {
				if d := diffSecrets(parseKeyLog(t, &r.log), r.seen.secrets); d != "" {
					t.Errorf("secrets (-client +observer):\n%s", d)
				}
				return
			}
			// The client logs nothing either: it knows the master secret from
			// the full handshake, where it is the one secret.
			if len(full) != 1 || len(r.seen.secrets) != 1 {
				t.Fatalf("secrets %+v, then %+v, want one each", full, r.seen.secrets)
			}
			got := r.seen.secrets[0]
			if got.label != "CLIENT_RANDOM" || got.value != full[0].value || !got.candidate {
				t.Errorf("candidate %+v, want the master secret %+v", got, full[0])
			}
			if got.random == full[0].random {
				t.Error("the candidate has the random of the full handshake")
			}
		})
	}
}

// The random that goes with a candidate is the one on the wire.
// Where nobody watches, crypto/tls alone decides, and decides the same.
func TestResumptionUnobserved(t *testing.T) {
	for _, v := range versions {
		t.Run(tls.VersionName(v), func(t *testing.T) {
			r := newResumption(t, v)
			r.visit()
			for _, test := range []struct {
				keys [][32]byte // nil: those it has
				want bool
			}{{nil, true}, {[][32]byte{newTicketKey()}, false}, {nil, true}} {
				if err := r.Reconfigure(Config{TicketKeys: test.keys, Select: r.config.Load().Select}); err != nil {
					t.Fatal(err)
				}
				if got := r.visit().DidResume; got != test.want {
					t.Errorf("new keys %v: resumed %v, want %v", test.keys != nil, got, test.want)
				}
			}
			if n := len(r.seen.steps); n != 0 {
				t.Errorf("%d steps are told to who does not watch any more", n)
			}
		})
	}
}

func TestCandidateHasTheRandomOfItsHello(t *testing.T) {
	r := newResumption(t, tls.VersionTLS12)
	r.visit()
	var sent bytes.Buffer
	r.seen.forget()
	c := tls.Client(sniffed{r.dial(), &sent}, &r.conf)
	wantEcho(t, c, "hello")
	if len(r.seen.secrets) != 1 || !strings.Contains(string(hexOf(sent.Bytes())), r.seen.secrets[0].random) {
		t.Errorf("the random of %+v was not sent", r.seen.secrets)
	}
}

func TestRefusedTickets(t *testing.T) {
	tests := []struct {
		name   string
		v      uint16
		change func(r *resumption, conf *Config, t *TLSConfig)
		told   string
	}{
		{"other key, TLS 1.2", tls.VersionTLS12, func(_ *resumption, c *Config, _ *TLSConfig) {
			c.TicketKeys = [][32]byte{newTicketKey()}
		}, "of a key that this server does not have"},
		{"other key, TLS 1.3", tls.VersionTLS13, func(_ *resumption, c *Config, _ *TLSConfig) {
			c.TicketKeys = [][32]byte{newTicketKey()}
		}, "of a key that this server does not have"},
		{"cipher suite", tls.VersionTLS12, func(r *resumption, _ *Config, t *TLSConfig) {
			t.CipherSuites = []uint16{tls.TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256}
		}, "its cipher suite, its client certificate or"},
		{"client certificate wanted", tls.VersionTLS13, func(_ *resumption, _ *Config, t *TLSConfig) {
			t.ClientAuth = tls.RequireAnyClientCert
		}, "its client certificate or"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			r := newResumption(t, test.v)
			r.conf.Certificates = []tls.Certificate{{Certificate: [][]byte{authority().cert.Raw}, PrivateKey: authority().signer}}
			r.visit()
			conf, tlsConf := service(Echo(), nil), everything()
			test.change(r, &conf, tlsConf)
			conf.Select = service(Echo(), tlsConf).Select
			conf.Observer = r.seen
			if err := r.Reconfigure(conf); err != nil {
				t.Fatal(err)
			}
			if r.visit().DidResume {
				t.Fatal("resumed")
			}
			r.seen.want(t, "ticket", false, test.told)
		})
	}
}

func TestRotatedKeysStillResume(t *testing.T) {
	r := newResumption(t, tls.VersionTLS13)
	r.visit()
	conf := service(Echo(), everything())
	conf.TicketKeys = slices.Concat([][32]byte{newTicketKey()}, r.config.Load().TicketKeys)
	conf.Observer = r.seen
	if err := r.Reconfigure(conf); err != nil {
		t.Fatal(err)
	}
	if !r.visit().DidResume {
		t.Error("a ticket of the key before was refused")
	}
}

func TestNoTicketsUnlessAllowed(t *testing.T) {
	r := newResumption(t, tls.VersionTLS12)
	conf := service(Echo(), &TLSConfig{})
	conf.Observer = r.seen
	if err := r.Reconfigure(conf); err != nil {
		t.Fatal(err)
	}
	r.visit()
	if r.visit().DidResume {
		t.Error("resumed")
	}
}

func TestSessionOfAClientIsNotOurs(t *testing.T) {
	var sealed *tls.SessionState
	f := start(t, Config{})
	conf := &tls.Config{
		ClientSessionCache: cacheFunc(func(s *tls.ClientSessionState) {
			_, sealed, _ = s.ResumptionState()
		}),
		MaxVersion: tls.VersionTLS12,
	}
	f.mustDialTLS(conf)
	if sealed == nil {
		t.Fatal("no session")
	}
	if _, err := parseSession(sealed); err == nil {
		t.Error("the state of a client was taken for one of a server")
	}
}

type cacheFunc func(*tls.ClientSessionState)

func (cacheFunc) Get(string) (*tls.ClientSessionState, bool) { return nil, false }
func (f cacheFunc) Put(_ string, cs *tls.ClientSessionState) { f(cs) }

func TestRefusalReasons(t *testing.T) {
	hello := &tls.ClientHelloInfo{CipherSuites: []uint16{tls.TLS_RSA_WITH_AES_128_CBC_SHA}}
	now := time.Now()
	for _, test := range []struct {
		s    session
		want string
	}{
		{session{version: tls.VersionTLS12, made: now}, "it is of TLS 1.2, and TLS 1.3 was negotiated"},
		{session{version: tls.VersionTLS13, made: now.Add(-8 * 24 * time.Hour)}, "older than 7 days"},
	} {
		if got := test.s.refusal(hello, tls.VersionTLS13); !strings.Contains(got, test.want) {
			t.Errorf("refusal of %+v = %q, want %q", test.s, got, test.want)
		}
	}
	s := session{version: tls.VersionTLS12, made: now, suite: tls.TLS_RSA_WITH_AES_256_CBC_SHA}
	if got := s.refusal(hello, tls.VersionTLS12); !strings.Contains(got, "TLS_RSA_WITH_AES_256_CBC_SHA is no longer offered") {
		t.Errorf("refusal = %q", got)
	}
}

func TestTicketKeysPersistAndRotate(t *testing.T) {
	dir := t.TempDir()
	first, err := LoadOrCreateTicketKeys(dir)
	if err != nil || len(first) != 1 {
		t.Fatalf("%d keys, %v, want one", len(first), err)
	}
	path := filepath.Join(dir, "ticket-keys")
	wantMode(t, path, 0o600)
	again, err := LoadOrCreateTicketKeys(dir)
	if err != nil || !slices.Equal(again, first) {
		t.Errorf("other keys when loaded again, %v", err)
	}

	day := 24 * time.Hour
	now := time.Now()
	for i := 1; i <= 20; i++ {
		keys, err := loadOrCreateTicketKeys(path, now.Add(time.Duration(i)*(day+time.Minute)))
		if err != nil {
			t.Fatal(err)
		}
		if want := min(i+1, maxTicketKeys); len(keys) != want {
			t.Errorf("day %d: %d keys, want %d", i, len(keys), want)
		}
	}
	wantMode(t, path, 0o600)
	// Nothing for a month: what is left is the last key, whose tickets may
	// have been given until now, and a new one.
	keys, err := loadOrCreateTicketKeys(path, now.Add(60*day))
	if err != nil {
		t.Fatal(err)
	}
	if len(keys) == 1 {
		t.Error("the key in use until now was forgotten")
	}
	keys, err = loadOrCreateTicketKeys(path, now.Add(70*day))
	if err != nil || len(keys) != 2 {
		t.Errorf("%d keys, %v, want the last and a new one", len(keys), err)
	}
	entries, err := os.ReadDir(dir)
	if err != nil || len(entries) != 1 {
		t.Errorf("%v in the directory, %v", entries, err)
	}
}

func TestTicketKeyFileErrors(t *testing.T) {
	for _, test := range []struct {
		content string
		mode    fs.FileMode
		want    string
	}{
		{"", 0o640, "chmod 600"},
		{"yesterday 00\n", 0o600, "line 1: the time"},
		{"2026-01-02T03:04:05Z 00\n", 0o600, "line 1: the key is not of 64"},
		{strings.Repeat("#", maxFile+1), 0o600, "longer than"},
	} {
		dir := t.TempDir()
		path := filepath.Join(dir, "ticket-keys")
		writeFile(t, path, test.content, test.mode)
		_, err := LoadOrCreateTicketKeys(dir)
		if err == nil || !strings.Contains(err.Error(), test.want) || !strings.Contains(err.Error(), path) {
			t.Errorf("%q: %v, want %q and the path", bounded(test.content), err, test.want)
		}
	}
	if _, err := LoadOrCreateTicketKeys(filepath.Join(t.TempDir(), "missing")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("missing directory: %v", err)
	}
}

func FuzzParseTicketKeys(f *testing.F) {
	f.Add(formatTicketKeys([]ticketKey{{time.Unix(1e9, 0), newTicketKey()}}))
	f.Add([]byte("2026-01-02T03:04:05Z \n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		keys, err := parseTicketKeys(text)
		if err != nil {
			return
		}
		again, err := parseTicketKeys(formatTicketKeys(keys))
		if err != nil || len(again) != len(keys) {
			t.Errorf("%d keys, written and read again %d, %v", len(keys), len(again), err)
		}
	})
}
