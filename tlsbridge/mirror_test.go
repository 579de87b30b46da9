package tlsbridge

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"synscope/event"
)

// A storyteller tells the flow it was asked for.
type storyteller struct{ err error }

func (s storyteller) Text(_ context.Context, f event.Flow) ([]byte, error) {
	return []byte("the ladder of " + f.String()), s.err
}

func (s storyteller) JSON(_ context.Context, f event.Flow) ([]byte, error) {
	return fmt.Appendf(nil, "[%q]", f.String()), s.err
}

func withStory(s Story) Config { return Config{Story: s} }

func TestMirrorTellsTheStoryOfItsConnection(t *testing.T) {
	f := start(t, withStory(storyteller{}))
	for _, test := range []struct{ scheme, proto, want string }{
		{"https://", "http/1.1", "HTTP/1.1"},
		{"https://", "h2", "HTTP/2.0"},
		{"http://", "http/1.1", "HTTP/1.1"},
		{"http://", "h2c", "HTTP/2.0"},
	} {
		client := httpClient(t, test.proto)
		var first string
		for range 2 { // the second on the same connection
			r, err := client.Get(test.scheme + f.addr + "/any/path")
			if err != nil {
				t.Fatalf("%+v: %v", test, err)
			}
			text := body(t, r)
			r.Body.Close()
			if r.StatusCode != 200 || r.Proto != test.want || !strings.HasPrefix(text, "the ladder of 127.0.0.1:") || !strings.HasSuffix(text, "> "+f.addr) {
				t.Errorf("%+v: %s %s %q", test, r.Proto, r.Status, text)
			}
			if first != "" && text != first {
				t.Errorf("%+v: %q, then %q: no keep-alive", test, first, text)
			}
			first = text
		}
		client.CloseIdleConnections()
	}
}

func TestMirrorFormats(t *testing.T) {
	f := start(t, withStory(storyteller{}))
	client := httpClient(t, "http/1.1")
	const text, json = "text/plain; charset=utf-8", "application/json"
	for _, test := range []struct{ accept, query, want string }{
		{"", "", text},
		{"*/*", "", text},
		{"application/json", "", json},
		{"Application/JSON;charset=utf-8", "", json},
		{"application/*", "", json},
		{"text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", "", text},
		{"application/json;q=0.5, text/plain;q=0.4", "", json},
		{"application/json;q=0.5, text/plain", "", text},
		{"application/json, */*;q=0", "", json},
		{";;;, application/json", "", json},
		{"", "?format=json", json},
		{"application/json", "?format=text", text},
	} {
		request, err := http.NewRequest("GET", "http://"+f.addr+"/"+test.query, nil)
		if err != nil {
			t.Fatal(err)
		}
		if test.accept != "" {
			request.Header.Set("Accept", test.accept)
		}
		r, err := client.Do(request)
		if err != nil {
			t.Fatal(err)
		}
		if got := r.Header.Get("Content-Type"); got != test.want {
			t.Errorf("Accept %q, query %q: %s, want %s", test.accept, test.query, got, test.want)
		}
		if b := body(t, r); test.want == json != strings.HasPrefix(b, "[") {
			t.Errorf("Accept %q, query %q: %q", test.accept, test.query, b)
		}
		r.Body.Close()
	}
}

func TestMirrorRefusals(t *testing.T) {
	f := start(t, withStory(storyteller{errors.New("no such story")}))
	big := strings.Repeat("x", maxRequestBody+1)
	for _, test := range []struct {
		request string
		status  int
		text    string
	}{
		{"GET / HTTP/1.1\r\nHost: x\r\n\r\n", 500, "no such story"},
		{"GET /?format=xml HTTP/1.1\r\nHost: x\r\n\r\n", 400, `unknown format "xml"`},
		{"CONNECT x:443 HTTP/1.1\r\nHost: x\r\n\r\n", 405, "no proxy"},
		{"GET / HTTP/1.1\r\nHost: x\r\nA: " + big[:2*maxHTTPHeader] + "\r\n\r\n", 431, "Too Large"},
		{fmt.Sprintf("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%s", len(big), big), 413, "longer than 1048576"},
		{"nothing that HTTP knows\r\n\r\n", 400, "Bad Request"},
	} {
		c := f.dial()
		go io.WriteString(c, test.request)
		r := answer(t, bufio.NewReader(c))
		if b := body(t, r); r.StatusCode != test.status || !strings.Contains(b, test.text) {
			t.Errorf("%.40q: %s %q, want %d %q", test.request, r.Status, b, test.status, test.text)
		}
		c.Close()
	}
}

func TestMirrorTakesBodies(t *testing.T) {
	f := start(t, Config{})
	r := get(t, f.dial(), "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n")
	if r.StatusCode != 200 {
		t.Error(r.Status)
	}
}

func TestMirrorWithoutStory(t *testing.T) {
	f := start(t, Config{})
	c := f.mustDialTLS(&tls.Config{})
	buffered := bufio.NewReader(c)
	io.WriteString(c, "GET / HTTP/1.1\r\nHost: x\r\n\r\n")
	if b := body(t, answer(t, buffered)); !strings.Contains(b, c.LocalAddr().String()) || !strings.Contains(b, "TLS 1.3") {
		t.Errorf("answer %q, want the addresses and the version", b)
	}
	io.WriteString(c, "GET / HTTP/1.1\r\nHost: x\r\nAccept: application/json\r\n\r\n")
	if b := body(t, answer(t, buffered)); b != "[]\n" {
		t.Errorf("answer %q", b)
	}
}

func TestHandlerKnowsItsSession(t *testing.T) {
	f := start(t, service(HTTP(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprint(w, SessionFrom(r.Context()).Flow.Client)
	})), nil))
	c := f.dial()
	if got := body(t, get(t, c, "GET / HTTP/1.0\r\n\r\n")); got != c.LocalAddr().String() {
		t.Errorf("handler saw %s, want %v", got, c.LocalAddr())
	}
	if SessionFrom(context.Background()) != nil {
		t.Error("a session from nowhere")
	}
}

func TestHandlerMayHijack(t *testing.T) {
	f := start(t, service(HTTP(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c, _, err := http.NewResponseController(w).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		io.WriteString(c, "mine now")
		c.Close()
	})), nil))
	c := f.dial()
	io.WriteString(c, "GET / HTTP/1.1\r\nHost: x\r\n\r\n")
	if b, err := io.ReadAll(c); err != nil || string(b) != "mine now" {
		t.Errorf("%q, %v", b, err)
	}
}

// A handler that does not look up is waited for, not left behind.
func TestCloseWaitsForHandlers(t *testing.T) {
	entered, returned := make(chan struct{}), false
	f := start(t, service(HTTP(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		close(entered)
		<-r.Context().Done()
		returned = true
	})), nil))
	client := httpClient(t, "h2")
	asked := make(chan struct{})
	go func() {
		defer close(asked)
		client.Get("https://" + f.addr) // fails: it is never answered
	}()
	<-entered
	f.Close()
	<-asked
	if !returned {
		t.Error("the handler is still running")
	}
}
