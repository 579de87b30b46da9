package integration

import (
	"errors"
	"io"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"synscope/event"
)

var echoPort = netip.MustParseAddrPort(server4 + ":7")

// SIGTERM and SIGINT end the daemon in order: open connections are closed with
// FIN, the last events are written, and the interface is gone with its routes.
func TestStop(t *testing.T) {
	for name, sig := range map[string]syscall.Signal{"SIGTERM": syscall.SIGTERM, "SIGINT": syscall.SIGINT} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l := newNamespace(t)
			l.serve("--service", "echo")
			conn := l.dial(echoPort)
			l.echo(conn, "hello")
			client := make(chan error, 1)
			go func() { // closes when the server does
				_, err := io.ReadAll(conn)
				conn.Close()
				client <- err
			}()
			if err := l.daemon.stop(sig); err != nil {
				t.Errorf("after %v: %v", name, err)
			}
			if err := <-client; err != nil {
				t.Errorf("the client's last read: %v, want EOF", err)
			}
			l.wantGone()

			s := l.endedStory()
			s.wantTransitions(t, `
				tcp client  CLOSED > SYN-SENT > ESTABLISHED > CLOSE-WAIT > LAST-ACK > CLOSED
				tcp server  LISTEN > SYN-RECEIVED > ESTABLISHED > FIN-WAIT-1 > FIN-WAIT-2 > TIME-WAIT > CLOSED`)
			s.wantClose(t, "fin", event.Server)
		})
	}
}

// A client that does not close is reset at the drain deadline.
func TestStopAtDeadline(t *testing.T) {
	t.Parallel()
	l := newLab(t, "--service", "echo", "--drain-timeout", "500ms")
	conn := l.dial(echoPort)
	l.echo(conn, "hello")
	l.awaitCapture()
	if err := l.daemon.stop(syscall.SIGTERM); err != nil {
		t.Error(err)
	}
	const said = "synscope: warn: connections were still open at the drain deadline, and reset; deadline: 500ms\n"
	if !strings.Contains(l.daemon.stderr.String(), said) {
		t.Errorf("stderr:\n%swant in it:\n%s", l.daemon.stderr, said)
	}
	if _, err := conn.Write([]byte("x")); err == nil {
		_, err = conn.Write([]byte("x"))
		if !errors.Is(err, syscall.ECONNRESET) && !errors.Is(err, syscall.EPIPE) {
			t.Errorf("the client's last write: %v, want %v", err, syscall.ECONNRESET)
		}
	}
	l.wantGone()

	s := l.endedStory()
	s.wantTransitions(t, `
		tcp client  CLOSED > SYN-SENT > ESTABLISHED > CLOSE-WAIT > CLOSED
		tcp server  LISTEN > SYN-RECEIVED > ESTABLISHED > FIN-WAIT-1 > FIN-WAIT-2 > CLOSED`)
	s.wantCauses(t, event.Server, `
		SYN-RECEIVED: client's SYN
		ESTABLISHED: client's ACK
		FIN-WAIT-1: call shutdown
		FIN-WAIT-2: client's ACK
		CLOSED: call abort: shutdown`)
	s.wantClose(t, "rst", event.Server)
}

// A connection that is open at the end is drawn too, by the format for people.
func TestStopLadder(t *testing.T) {
	t.Parallel()
	l := newNamespace(t)
	l.serve("--service", "echo", "--format", "ladder", "--drain-timeout", "100ms")
	conn := l.dial(echoPort)
	l.echo(conn, "hello")
	if err := l.daemon.stop(syscall.SIGTERM); err != nil {
		t.Error(err)
	}
	b, err := os.ReadFile(l.path("events.jsonl"))
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{conn.LocalAddr().String() + " > " + echoPort.String(), "SYN-RECEIVED", "ESTABLISHED"} {
		if !strings.Contains(string(b), want) {
			t.Errorf("%q is not in the ladder:\n%s", want, b)
		}
	}
}

// SIGHUP reads the configuration again: it holds for new connections, and one
// that is wrong changes nothing.
func TestReload(t *testing.T) {
	t.Parallel()
	l := newNamespace(t)
	file := l.writeConfig("service: discard\n")
	l.serve("--config", file)
	old := l.dial(echoPort)
	old.Write([]byte("x"))
	l.awaitState(event.StateEstablished)

	l.writeConfig("service: discard\nservices:\n  - port: 7\n    prefix: " + server4 + "\n    service: echo\n")
	l.reload("synscope: configuration reloaded; took: ")
	l.echo(l.dial(echoPort), "new")
	l.wantSilent(old)
	l.wantSilent(l.dial(netip.MustParseAddrPort(server4 + ":8")))
	l.wantSilent(l.dial(netip.MustParseAddrPort("198.18.9.9:7")))

	l.writeConfig("service: discard\nservices:\n  - server_name: " + hostname + "\n    service: echo\n")
	l.reload("synscope: configuration reloaded; took: ")
	config := l.tlsConfig()
	l.inside(func() {
		if err := echoOnce(config); err != nil {
			t.Errorf("echo by server name: %v", err)
		}
	})

	l.writeConfig("service: gopher\n")
	l.reload("synscope: error: configuration not reloaded, the old one stays; error: ")
	l.inside(func() {
		if err := echoOnce(config); err != nil {
			t.Errorf("echo after a bad configuration: %v", err)
		}
	})
	l.stop()
}

// Somebody deletes the interface: the daemon says so and ends.
func TestInterfaceDeleted(t *testing.T) {
	t.Parallel()
	l := newNamespace(t)
	l.serve("--service", "echo")
	l.echo(l.dial(echoPort), "hello")
	l.must("ip", "link", "del", "syn0")
	select {
	case <-l.daemon.done:
	case <-time.After(stopTimeout):
		t.Fatal("the daemon still runs")
	}
	var exit *exec.ExitError
	if !errors.As(l.daemon.err, &exit) || exit.ExitCode() != 1 {
		t.Errorf("the daemon ended with %v, want exit 1", l.daemon.err)
	}
	_, said, _ := strings.Cut(l.daemon.stderr.String(), "synscope: ready\n")
	// The kernel takes an interface down before it deletes it; the notice of
	// that, and the end of the device, come in any order.
	said = strings.Replace(said, "synscope: warn: interface down; name: syn0\n", "", 1)
	said = strings.Replace(said, "synscope: warn: interface deleted; name: syn0\n", "", 1)
	const want = "synscope: interface syn0: tun: read: interface syn0: the interface was deleted: file descriptor in bad state\n" +
		"hint: somebody else removed it: start again to make it anew\n"
	if said != want {
		t.Errorf("stderr:\n%swant:\n%s", said, want)
	}
	gone := slices.ContainsFunc(readEvents(t, l.path("events.jsonl")), func(e *event.Event) bool {
		return isChange("down")(e) || isChange("deleted")(e)
	})
	if !gone {
		t.Error("no event tells that the interface is gone")
	}
}

// Somebody takes the interface down and up again: both are told, and what comes
// afterwards is served.
func TestInterfaceDown(t *testing.T) {
	t.Parallel()
	l := newNamespace(t)
	l.serve("--service", "echo")
	l.must("ip", "link", "set", "syn0", "down")
	l.await("down", isChange("down"))
	l.must("ip", "link", "set", "syn0", "up")
	l.await("up", isChange("up"))
	l.echo(l.dial(echoPort), "hello")
	l.stop()
}

func isChange(what string) func(*event.Event) bool {
	return func(e *event.Event) bool {
		d, ok := e.Body.(*event.Device)
		return ok && d.Name == "syn0" && d.Change == what
	}
}

// echo sends a word and must get it back.
func (l *lab) echo(conn net.Conn, word string) {
	l.t.Helper()
	b := make([]byte, len(word))
	if _, err := conn.Write([]byte(word)); err != nil {
		l.t.Fatal(err)
	}
	if _, err := io.ReadFull(conn, b); err != nil || string(b) != word {
		l.t.Fatalf("echo sent %q, %v, want %q", b, err, word)
	}
}

// wantSilent checks that a service sends nothing back, and closes for us.
func (l *lab) wantSilent(conn *net.TCPConn) {
	l.t.Helper()
	conn.Write([]byte("x"))
	conn.CloseWrite()
	if b, err := io.ReadAll(conn); len(b) > 0 || err != nil {
		l.t.Errorf("received %q, %v, want EOF", b, err)
	}
}

// reload has the daemon read its configuration, and waits for what it says.
func (l *lab) reload(want string) {
	l.t.Helper()
	l.daemon.cmd.Process.Signal(syscall.SIGHUP)
	l.daemon.awaitLine(l.t, want)
}

// wantGone checks that the ended daemon left neither interface nor route.
func (l *lab) wantGone() {
	l.t.Helper()
	l.wantLinks("lo")
	for _, version := range []string{"-4", "-6"} {
		if r := l.run(nil, "ip", version, "route"); strings.Contains(r.out, "syn0") {
			l.t.Errorf("routes left:\n%s", r.out)
		}
	}
}

// endedStory is story for a daemon that the test has ended.
func (l *lab) endedStory() story {
	l.t.Helper()
	l.stopped = true
	l.events = readEvents(l.t, l.path("events.jsonl"))
	return l.story()
}
