package integration

import (
	"io"
	"net"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"synscope/event"
)

// A heldClient cannot end its connection before the server has ended it. Left
// alone the two race, and each run tells another story. What holds the client is
// its output, standard error included, which goes into a pipe that is full: it
// sleeps in its first write until it is released.
type heldClient struct {
	l     *lab
	cmd   *exec.Cmd
	stdin *os.File // ours, open until release
	pipe  *os.File // the output
	full  *os.File // the end of pipe that the client writes to, open until release
	out   []byte   // what was read
}

// filler fills a pipe of the smallest capacity that there is, a page.
var filler = strings.Repeat(".", os.Getpagesize())

// hold starts a client in the namespace.
func (l *lab) hold(name string, args ...string) *heldClient {
	l.t.Helper()
	stdin, ours, err := os.Pipe()
	if err != nil {
		l.t.Fatal(err)
	}
	defer stdin.Close()
	c := &heldClient{l: l, stdin: ours}
	c.pipe, c.full, err = os.Pipe()
	if err == nil {
		_, err = unix.FcntlInt(c.full.Fd(), unix.F_SETPIPE_SZ, len(filler))
	}
	if err != nil {
		l.t.Fatalf("making a pipe: %v", err)
	}
	c.fill()
	c.cmd = exec.Command("ip", append([]string{"netns", "exec", l.ns, name}, args...)...)
	c.cmd.Stdin, c.cmd.Stdout, c.cmd.Stderr = stdin, c.full, c.full
	if err := c.cmd.Start(); err != nil {
		l.t.Fatal(err)
	}
	l.t.Cleanup(func() {
		if c.cmd.ProcessState == nil {
			l.t.Logf("%s is still held, and would say:\n%s", name, c.release().out)
		}
	})
	return c
}

// fill fills the pipe, which is empty.
func (c *heldClient) fill() {
	c.l.t.Helper()
	if _, err := c.full.WriteString(filler); err != nil {
		c.l.t.Fatalf("filling a pipe: %v", err)
	}
}

// until lets the client go on until it has written a line that ends its output for
// now, and holds it again.
func (c *heldClient) until(line string) {
	c.l.t.Helper()
	c.pipe.SetReadDeadline(time.Now().Add(startTimeout))
	defer c.pipe.SetReadDeadline(time.Time{})
	for b := make([]byte, len(filler)); !strings.HasSuffix(string(c.out), line+"\n"); {
		n, err := c.pipe.Read(b)
		if err != nil {
			c.l.t.Fatalf("waiting for %q: %v\n%s", line, err, c.out)
		}
		c.out = append(c.out, b[:n]...)
	}
	c.fill()
}

// say writes a line to the client's standard input.
func (c *heldClient) say(line string) {
	c.l.t.Helper()
	if _, err := c.stdin.WriteString(line + "\n"); err != nil {
		c.l.t.Fatal(err)
	}
}

// release lets the client go on, and waits for its end.
func (c *heldClient) release() run {
	c.l.t.Helper()
	kill := time.AfterFunc(clientTimeout, func() { c.cmd.Process.Kill() })
	defer kill.Stop()
	c.full.Close()
	out, err := io.ReadAll(c.pipe)
	if err != nil {
		c.l.t.Errorf("output of %v: %v", c.cmd, err)
	}
	c.stdin.Close()
	c.pipe.Close()
	c.cmd.Wait() // its result is in ProcessState
	c.out = append(c.out, out...)
	return run{strings.ReplaceAll(string(c.out), filler, ""), c.cmd.ProcessState.ExitCode()}
}

// runHeld runs a client for one connection, which the server must be the first
// to close, and returns when the server's end of it is CLOSED.
func (l *lab) runHeld(name string, args ...string) run {
	l.t.Helper()
	l.held++
	c := l.hold(name, args...)
	l.awaitStates(event.StateFinWait2, l.held)
	r := c.release()
	l.awaitStates(event.StateClosed, l.held)
	return r
}

// newTLSLab is newLab with a short TIME-WAIT, where the connections of runHeld
// end.
func newTLSLab(t *testing.T, flags ...string) *lab {
	t.Helper()
	return newLab(t, append([]string{"--time-wait", "100ms"}, flags...)...)
}

// What TCP goes through if the server sends the first FIN, as it does to clients
// that are held.
const closedByServer = `
	tcp client  CLOSED > SYN-SENT > ESTABLISHED > CLOSE-WAIT > LAST-ACK > CLOSED
	tcp server  LISTEN > SYN-RECEIVED > ESTABLISHED > FIN-WAIT-1 > FIN-WAIT-2 > TIME-WAIT > CLOSED`

// And if the client then closes with bytes of the server's unread, which makes its
// close a reset (RFC 9293, section 3.10.4).
const resetByClient = `
	tcp client  CLOSED > SYN-SENT > ESTABLISHED > CLOSE-WAIT > CLOSED
	tcp server  LISTEN > SYN-RECEIVED > ESTABLISHED > FIN-WAIT-1 > FIN-WAIT-2 > CLOSED`

// openssl runs s_client against the server's address, for one connection that
// the server closes first.
func (l *lab) openssl(server string, args ...string) run {
	l.t.Helper()
	return l.runHeld("openssl", append([]string{"s_client", "-quiet", "-connect", net.JoinHostPort(server, "443"),
		"-servername", hostname, "-CAfile", l.ca(), "-verify_return_error", "-verify_quiet"}, args...)...)
}
