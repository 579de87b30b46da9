package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// A bench is one run of the program. It belongs to the main goroutine, on the
// main thread: processes that are started end with it.
type bench struct {
	self, synscope string // the binaries
	dir            string
	pki            *pki
	link           link // of the kernel's server and of the others
	rounds         int
	window         time.Duration
	floodRate      int

	places map[string]*place // by contestant
}

// A server is a contestant that runs.
type server struct {
	*contestant
	place *place
	dir   string
	cmd   *exec.Cmd
	ended chan struct{} // closed when it has
}

// command makes a command that does not get the terminal's signals: it is ended
// by us.
func command(ctx context.Context, args []string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, args[0], args[1:]...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	return cmd
}

// start starts a contestant and waits until it accepts connections.
func (b *bench) start(ctx context.Context, c *contestant) (*server, error) {
	p := b.places[c.name]
	if p == nil {
		l := b.link
		if c.tun {
			l = linkTUN
		}
		var err error
		p, err = newPlace(c.name, l)
		b.places[c.name] = p
		if err != nil {
			return nil, err
		}
	}
	s := &server{contestant: c, place: p, ended: make(chan struct{})}
	var err error
	if s.dir, err = os.MkdirTemp(b.dir, c.name); err != nil {
		return nil, err
	}
	if err := os.Chmod(s.dir, 0o777); err != nil { // a server gives up being root
		return nil, err
	}
	args, err := c.command(b, s.dir)
	if err != nil {
		return nil, err
	}
	log, err := os.Create(filepath.Join(s.dir, "log"))
	if err != nil {
		return nil, err
	}
	defer log.Close()
	s.cmd = command(context.Background(), in(p.server, args...))
	s.cmd.Stdout, s.cmd.Stderr, s.cmd.Dir = log, log, s.dir
	if err := s.cmd.Start(); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	go func() { // ends with the process, which stop waits for
		s.cmd.Wait()
		close(s.ended)
		cancel(errors.New("the server has ended"))
	}()
	if _, err := b.client(ctx, s, job{Kind: "ready", Port: portTLSEcho}); err != nil {
		err = fmt.Errorf("%w\n%s", err, s.log())
		s.stop()
		return nil, err
	}
	return s, nil
}

// log is the end of what the server has said.
func (s *server) log() string {
	const enough = 2000
	b, _ := os.ReadFile(filepath.Join(s.dir, "log"))
	return string(b[max(0, len(b)-enough):])
}

// stop ends the server and removes its folder. It returns what its tracer lost.
func (s *server) stop() (map[string]uint64, error) {
	defer os.RemoveAll(s.dir)
	s.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-s.ended:
	case <-time.After(stopTimeout):
		syscall.Kill(-s.cmd.Process.Pid, syscall.SIGKILL) // its children too
		<-s.ended
	}
	return lost(filepath.Join(s.dir, eventsFile))
}

// client has the client do a job in the place of a server.
func (b *bench) client(ctx context.Context, s *server, j job) (result, error) {
	j.Servers = processTree(s.cmd.Process.Pid)
	j.Roots = b.pki.ca
	if s.roots != "" {
		j.Roots = filepath.Join(s.dir, s.roots)
	}
	if s.port != 0 {
		j.Port = s.port
	}
	j.Resets = s.resets
	var run []string
	if j.Kind == "ready" {
		j.Roots = ""
	} else if s.run != nil {
		// Run has the client trust its authority.
		run, j.Roots, j.Below = s.run(b, s.dir), "", true
	}
	if s.control {
		j.Control = filepath.Join(s.dir, controlSocket)
	}
	in, err := json.Marshal(j)
	if err != nil {
		return result{}, err
	}
	const grace = 2 * time.Minute // what no job takes beyond its window
	ctx, cancel := context.WithTimeout(ctx, j.Warmup+j.Window+grace)
	defer cancel()
	out, err := b.inClientsPlace(ctx, s, bytes.NewReader(in), append(run, b.self, roleClient)...)
	if err != nil {
		return result{}, err
	}
	var r result
	if j.Kind == "ready" {
		return r, nil
	}
	return r, json.Unmarshal(out, &r)
}

// inClientsPlace runs a command beside the server, and returns its output.
func (b *bench) inClientsPlace(ctx context.Context, s *server, stdin *bytes.Reader, args ...string) ([]byte, error) {
	cmd := command(ctx, in(s.place.client, args...))
	var stderr bytes.Buffer
	cmd.Stdin, cmd.Stderr = stdin, &stderr
	out, err := cmd.Output()
	if err != nil {
		if ctx.Err() != nil {
			err = context.Cause(ctx)
		}
		return nil, fmt.Errorf("client: %w: %s", err, strings.TrimSpace(stderr.String()))
	}
	return out, nil
}

// warmup is the time before a window: for what is set up at first, and for the
// processor.
const warmup = 150 * time.Millisecond

// measure measures a contestant once. The results are by part.
func (b *bench) measure(ctx context.Context, s *server, m measure) (map[string]result, error) {
	j := m.job
	j.Warmup, j.Window = warmup, b.window
	if !m.flooded {
		r, err := b.client(ctx, s, j)
		return map[string]result{"": r}, err
	}
	return b.measureFlooded(ctx, s, j)
}

// measureFlooded does a job before, during and at once after a SYN flood.
func (b *bench) measureFlooded(ctx context.Context, s *server, j job) (map[string]result, error) {
	j.Lenient = true
	parts := make(map[string]result)
	var err error
	if parts[partBefore], err = b.client(ctx, s, j); err != nil {
		return nil, err
	}
	flood := command(ctx, in(s.place.client, b.self, roleFlood, strconv.Itoa(b.floodRate)))
	var sent, stderr bytes.Buffer
	flood.Stdout, flood.Stderr = &sent, &stderr
	stop, err := flood.StdinPipe()
	if err != nil {
		return nil, err
	}
	if err := flood.Start(); err != nil {
		return nil, err
	}
	time.Sleep(500 * time.Millisecond) // for the queues to fill
	during, err := b.client(ctx, s, j)
	stop.Close()
	if ferr := flood.Wait(); ferr != nil {
		err = errors.Join(err, fmt.Errorf("flood: %w: %s", ferr, &stderr))
	}
	if err != nil {
		return nil, err
	}
	if during.SentSYNs, err = strconv.Atoi(strings.TrimSpace(sent.String())); err != nil {
		return nil, err
	}
	parts[partDuring] = during
	j.Warmup = 0
	parts[partAfter], err = b.client(ctx, s, j)
	return parts, err
}
