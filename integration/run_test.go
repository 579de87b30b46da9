package integration

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"synscope/event"
)

// A user runs commands under synscope run.
//
//	synscope run ----- starts -----> command
//	     |                              |
//	     |      +--- its own network namespace ---+
//	  netstack -+- syn0: TUN (root) or veth (others)
//	            +---------------------------------+
type user struct {
	name string
	id   uint32
}

// An ordinary user need not be known to the system.
var users = []user{{"root", 0}, {"ordinary", 54321}}

// asEachUser runs a test as root and as an ordinary user.
func asEachUser(t *testing.T, f func(t *testing.T, b *bench)) {
	t.Helper()
	for _, u := range users {
		t.Run(u.name, func(t *testing.T) {
			t.Parallel()
			f(t, newBench(t, u))
		})
	}
}

// A bench is a user's directory, in which commands are run.
type bench struct {
	t    *testing.T
	user user
	dir  string

	to    string // of run
	ns    string // the network namespace that run is in; "": that of the test
	roots string // what the user has SSL_CERT_FILE name
}

func newBench(t *testing.T, u user) *bench {
	t.Helper()
	b := &bench{t: t, user: u, dir: t.TempDir(), to: "mirror"}
	if err := os.Chmod(filepath.Dir(b.dir), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Chown(b.dir, int(u.id), int(u.id)); err != nil {
		t.Fatal(err)
	}
	return b
}

func (b *bench) path(name string) string { return filepath.Join(b.dir, name) }

// write writes a file for the user.
func (b *bench) write(name, text string) string {
	b.t.Helper()
	path := b.path(name)
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		b.t.Fatal(err)
	}
	return path
}

// trustVariables may be set where the tests run, and would tell clients what to
// trust.
var trustVariables = []string{
	"SSL_CERT_FILE", "SSL_CERT_DIR", "CURL_CA_BUNDLE", "GIT_SSL_CAINFO", "REQUESTS_CA_BUNDLE", "NODE_EXTRA_CA_CERTS",
	"PIP_CERT", "NIX_SSL_CERT_FILE", "AWS_CA_BUNDLE", "JAVA_TOOL_OPTIONS", "JDK_JAVA_OPTIONS", "_JAVA_OPTIONS",
}

// environ is the environment of the user: that of the test, but for what tells
// clients what to trust.
func (b *bench) environ() []string {
	env := []string{"HOME=" + b.dir, "TMPDIR=" + b.dir}
	for _, kv := range os.Environ() {
		name, _, _ := strings.Cut(kv, "=")
		if name != "HOME" && name != "TMPDIR" && !strings.Contains(strings.Join(trustVariables, " ")+" ", name+" ") {
			env = append(env, kv)
		}
	}
	if b.roots != "" {
		env = append(env, "SSL_CERT_FILE="+b.roots)
	}
	return env
}

// command returns synscope run, of the user, with flags and a command.
func (b *bench) command(ctx context.Context, args ...string) *exec.Cmd {
	args = append([]string{"run", "--to", b.to}, args...)
	cmd := exec.CommandContext(ctx, binary, args...)
	if b.ns == "" {
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: b.user.id, Gid: b.user.id}}
	} else {
		id := strconv.Itoa(int(b.user.id))
		enter := []string{"netns", "exec", b.ns, "setpriv", "--reuid", id, "--regid", id, "--clear-groups", binary}
		cmd = exec.CommandContext(ctx, "ip", append(enter, args...)...)
	}
	cmd.Dir, cmd.Env = b.dir, b.environ()
	return cmd
}

// An outcome is what a command did under synscope run.
type outcome struct {
	stdout, stderr string
	status         syscall.WaitStatus // of synscope
	stories        []story
	legs           []story        // those of upstream legs
	others         []*event.Event // of no connection
}

// run runs a command with its events to a file.
func (b *bench) run(args ...string) *outcome {
	b.t.Helper()
	events := b.path("events.jsonl")
	if err := os.Remove(events); err != nil && !errors.Is(err, os.ErrNotExist) {
		b.t.Fatal(err)
	}
	o := b.runFlags(append([]string{"--events", events, "--format", "json", "--"}, args...)...)
	var all []story
	for _, e := range readEvents(b.t, events) {
		if e.Conn == 0 {
			o.others = append(o.others, e)
			continue
		}
		for uint64(len(all)) < e.Conn {
			all = append(all, nil)
		}
		all[e.Conn-1] = append(all[e.Conn-1], e)
	}
	for _, s := range all {
		if s[0].Body.(*event.Open).Upstream {
			o.legs = append(o.legs, s)
		} else {
			o.stories = append(o.stories, s)
		}
	}
	return o
}

// runFlags runs a command with flags of run before it.
func (b *bench) runFlags(args ...string) *outcome {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), clientTimeout)
	defer cancel()
	cmd := b.command(ctx, args...)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	cmd.WaitDelay = stopTimeout
	err := cmd.Run()
	var exit *exec.ExitError
	switch {
	case ctx.Err() != nil:
		b.t.Fatalf("%v: stuck\n%s%s", args, &stdout, &stderr)
	case err != nil && !errors.As(err, &exit):
		b.t.Fatalf("%v: %v", args, err)
	}
	return &outcome{stdout: stdout.String(), stderr: stderr.String(), status: cmd.ProcessState.Sys().(syscall.WaitStatus)}
}

// story returns the one connection that there must be.
func (o *outcome) story(t *testing.T) story {
	t.Helper()
	if len(o.stories) != 1 {
		t.Fatalf("%d connections, want 1\n%s%s", len(o.stories), o.stdout, o.stderr)
	}
	return o.stories[0]
}

const page = "https://" + hostname + "/"

// Clients of all kinds trust the mirror without being told, and their handshakes
// are told in full. Git finds no repository, but speaks TLS first.
func TestRunClients(t *testing.T) {
	javaClass := filepath.Join(buildDir, "java")
	for _, c := range []struct {
		name    string
		command []string
		says    string
		code    int
	}{
		{"curl", []string{"curl", "-sS", page}, "ClientHello", 0},
		{"curl, IPv4", []string{"curl", "-4sS", page}, "ClientHello", 0},
		{"wget", []string{"wget", "-qO-", page}, "ClientHello", 0},
		{"git", []string{"git", "ls-remote", page}, "not valid", 128},
		{"Python", []string{"/usr/bin/python3", "-c", `import urllib.request; print(urllib.request.urlopen("` + page + `").status)`}, "200", 0},
		{"node", []string{"node", "-e", `require("https").get("` + page + `", {agent: false, headers: {Connection: "close"}}, (r) => { console.log(r.statusCode); r.resume() })`}, "200", 0},
		{"java", []string{"java", "-cp", javaClass, "Fetch", page}, "200", 0},
		{"Go", []string{filepath.Join(buildDir, "goclient"), page}, "200", 0},
		{"openssl s_client", []string{"openssl", "s_client", "-brief", "-verify_return_error", "-connect", hostname + ":443"}, "Verification: OK", 0},
		{"gnutls-cli", []string{"gnutls-cli", "--logfile=/dev/null", hostname}, "", 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			asEachUser(t, func(t *testing.T, b *bench) {
				o := b.run(c.command...)
				if o.status.ExitStatus() != c.code || !strings.Contains(o.stdout+o.stderr, c.says) {
					t.Errorf("exit %d, want %d and %q:\n%s%s", o.status.ExitStatus(), c.code, c.says, o.stdout, o.stderr)
				}
				wantComplete(t, o.story(t))
			})
		})
	}
}

// wantComplete checks that a TLS 1.3 connection to the page is told in full, up
// to its end.
func wantComplete(t *testing.T, s story) {
	t.Helper()
	e := one[*event.Established](t, s)
	if e.Version != event.VersionTLS13 || e.ServerName != hostname {
		t.Errorf("tls.established: %v, server name %q", e.Version, e.ServerName)
	}
	if o := s[0].Body.(*event.Open); o.Name != hostname {
		t.Errorf("conn.open: name %q, want %q", o.Name, hostname)
	}
	got := s.transitions()
	for _, want := range []string{
		"tcp client  CLOSED > SYN-SENT > ESTABLISHED > ",
		"tcp server  LISTEN > SYN-RECEIVED > ESTABLISHED > ",
		"tls client  START > WAIT_SH > WAIT_EE > WAIT_CERT_CR > WAIT_CV > WAIT_FINISHED > CONNECTED",
		"tls server  START > RECVD_CH > NEGOTIATED > WAIT_FLIGHT2 > WAIT_FINISHED > CONNECTED",
	} {
		if !strings.Contains(got, want) {
			t.Errorf("the transitions have no %q:\n%s", want, got)
		}
	}
	if strings.Contains(got, "??") {
		t.Errorf("the transitions have a hole:\n%s", got)
	}
	if how := one[*event.Close](t, s).How; how != "fin" && how != "rst" {
		t.Errorf("it ended by %q", how)
	}
	if gaps := find[*event.Gap](s); gaps != nil {
		t.Errorf("events are missing: %+v", gaps[0])
	}
}

// What the user's environment names is trusted as before, and our root as well.
func TestRunMergesTrust(t *testing.T) {
	asEachUser(t, func(t *testing.T, b *bench) {
		const own = "-----BEGIN CERTIFICATE-----\nown\n-----END CERTIFICATE-----\n"
		file := b.write("own.pem", own)
		o := b.run("env", "SSL_CERT_FILE="+file, "sh", "-c", "curl -sS -o /dev/null "+page+"; cat "+file)
		if o.status != 0 || strings.Count(o.stdout, "BEGIN CERTIFICATE") != 1 {
			// The variable is set too late: what run does not know of stays.
			t.Errorf("status %#x\n%s%s", int(o.status), o.stdout, o.stderr)
		}
		ctx, cancel := context.WithTimeout(context.Background(), clientTimeout)
		defer cancel()
		cmd := b.command(ctx, "--", "sh", "-c", "curl -sS -o /dev/null "+page+" && cat $SSL_CERT_FILE && echo $SSL_CERT_FILE")
		cmd.Env = append(cmd.Env, "SSL_CERT_FILE="+file)
		out, err := cmd.Output()
		if err != nil || strings.Count(string(out), "BEGIN CERTIFICATE") != 2 || !strings.HasPrefix(string(out), own) || !strings.HasSuffix(string(out), file+"\n") {
			t.Errorf("%v\n%s", err, out)
		}
		if text, err := os.ReadFile(file); string(text) != own {
			t.Errorf("outside, the file is %q, %v", text, err)
		}
	})
}

// The events go where the flags say, and the command's output stays its own.
func TestRunOutputs(t *testing.T) {
	asEachUser(t, func(t *testing.T, b *bench) {
		pcap, keys := b.path("run.pcapng"), b.path("keys")
		o := b.runFlags("--pcap", pcap, "--keylog", keys, "--", "curl", "-sS", "-o", "/dev/null", "-w", "%{http_code}", page)
		if o.status != 0 || o.stdout != "200" {
			t.Errorf("status %#x, stdout %q", int(o.status), o.stdout)
		}
		for _, want := range []string{"#1 ", hostname, "SYN ACK", "ClientHello", "{Finished}", "ended "} {
			if !strings.Contains(o.stderr, want) {
				t.Errorf("the ladder has no %q:\n%s", want, o.stderr)
			}
		}
		out, err := exec.Command("tshark", "-r", pcap, "-Y", "tls.handshake.type == 20 || dns", "-T", "fields", "-e", "_ws.col.Protocol").Output()
		if err != nil || strings.Count(string(out), "TLSv1.3") < 2 || !strings.Contains(string(out), "DNS") {
			t.Errorf("tshark decrypts %q, %v: want both Finished, and DNS", out, err)
		}
		for _, file := range []string{pcap, keys} {
			if info, err := os.Stat(file); err != nil || info.Mode().Perm() != 0o600 {
				t.Errorf("%s: %v, %v", file, info.Mode(), err)
			}
		}

		o = b.runFlags("--", "true")
		if o.stderr != "synscope: true made no connection\n" || o.stdout != "" {
			t.Errorf("without a connection it says %q", o.stderr)
		}

		// The ladder comes when the command has ended, unless it is to be live.
		script := fmt.Sprintf("curl -sS -o /dev/null %s; sleep 0.5; echo done >&2", page)
		for flag, first := range map[string]string{"--live=false": "done", "--live": "#1 "} {
			o = b.runFlags(flag, "--", "sh", "-c", script)
			if !strings.HasPrefix(o.stderr, first) || !strings.Contains(o.stderr, "#1 ") {
				t.Errorf("with %s it begins otherwise than by %q:\n%s", flag, first, o.stderr)
			}
		}
	})
}
