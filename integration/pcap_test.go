package integration

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"synscope/event"
)

// A daemon that is killed while connections come and go leaves a capture that
// tshark reads to the last whole block, and events whose lines are whole but for
// the last.
func TestKilledDaemonLeavesWholeCapture(t *testing.T) {
	t.Parallel()
	l := newNamespace(t)
	l.serve("--pcap", l.path(ownCapture))
	clients := make(chan struct{})
	go func() {
		defer close(clients)
		for range 40 { // until there is nobody to answer
			cmd := exec.Command("ip", "netns", "exec", l.ns, "curl", "-sk", "--max-time", "2", "https://"+server4+"/")
			if cmd.Run() != nil {
				return
			}
		}
	}()
	l.eventually("20 connections", func() bool {
		return strings.Count(l.read("events.jsonl"), `"kind":"tls.established"`) >= 20
	})
	l.daemon.stop(syscall.SIGKILL)
	<-clients

	out, err := exec.Command("tshark", "-r", l.path(ownCapture), "-Y", "tls.handshake.type == 20", "-T", "fields", "-e", "frame.number").CombinedOutput()
	if err != nil && !strings.Contains(string(out), "cut short in the middle of a packet") {
		t.Errorf("tshark: %v\n%s", err, out)
	}
	if n := strings.Count(string(out), "\n"); n < 20 {
		t.Errorf("tshark decrypted Finished in %d packets, want both sides' of some 20 connections:\n%s", n, out)
	}
	lines := strings.Split(l.read("events.jsonl"), "\n")
	for i, line := range lines[:len(lines)-1] {
		if !strings.HasPrefix(line, "{") || !strings.HasSuffix(line, "}") {
			t.Errorf("line %d of the events is not whole: %s", i+1, line)
		}
	}
}

// A capture on the standard output can be read while it is made.
func TestCaptureOnStandardOutput(t *testing.T) {
	t.Parallel()
	l := newNamespace(t)
	// The daemon takes the shell's place, so that it is what the lab ends; tshark
	// ends with its input.
	script := fmt.Sprintf(`mkfifo pipe && tshark -l -r - -T fields -e tls.handshake.type <pipe >types 2>/dev/null & `+
		`sleep 0.2; exec %s serve --control none --state-dir state --events events.jsonl --pcap - >pipe`, binary)
	l.daemon = l.start("synscope: ready", "sh", "-c", "cd "+l.dir+"; "+script)
	l.curl("https://" + hostname + "/")
	l.eventually("EncryptedExtensions to Finished, decrypted by tshark", func() bool {
		return strings.Contains(l.read("types"), "8,11,15,20")
	})
	if err := l.daemon.stop(syscall.SIGTERM); err != nil {
		t.Errorf("synscope serve: %v", err)
	}
}

// A full disk ends the capture, with one event, and nothing else.
func TestFullDiskEndsTheCapture(t *testing.T) {
	t.Parallel()
	l := newNamespace(t)
	disk := l.path("disk")
	if err := os.Mkdir(disk, 0o755); err != nil {
		t.Fatal(err)
	}
	l.host("mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", disk)
	t.Cleanup(func() { l.host("umount", disk) })
	file := filepath.Join(disk, "c.pcapng")
	l.serve("--pcap", file, "--service", "chargen:1000000")
	l.curl("--http0.9", "-o", "/dev/null", "https://"+hostname+"/") // more than there is room for
	l.eventually("the event", func() bool {
		return strings.Contains(l.read("events.jsonl"), `"kind":"capture.end"`)
	})
	l.curl("--http0.9", "-o", "/dev/null", "https://"+hostname+"/")
	// That the capture is not whole is what the daemon ends with, and all.
	if err := l.daemon.stop(syscall.SIGTERM); err == nil || l.daemon.cmd.ProcessState.ExitCode() != 1 {
		l.t.Errorf("synscope serve: %v, want exit status 1", err)
	}

	var ends []*event.CaptureEnd
	established := 0
	for _, line := range strings.Split(strings.TrimSpace(l.read("events.jsonl")), "\n") {
		e := new(event.Event)
		if err := json.Unmarshal([]byte(line), e); err != nil {
			t.Fatal(err)
		}
		switch b := e.Body.(type) {
		case *event.CaptureEnd:
			ends = append(ends, b)
		case *event.Established:
			established++
		}
	}
	if len(ends) != 1 || ends[0].File != file || !strings.Contains(ends[0].Reason, "no space left on device") {
		t.Errorf("ends of the capture: %+v, want one, for want of space", ends)
	}
	if established != 2 {
		t.Errorf("%d handshakes are told, want both", established)
	}
	out, err := exec.Command("tshark", "-r", file, "-Y", "tls.handshake.type == 20", "-T", "fields", "-e", "frame.number").CombinedOutput()
	if err != nil && !strings.Contains(string(out), "cut short in the middle of a packet") {
		t.Errorf("tshark: %v\n%s", err, out)
	}
}

// read returns what a file of the lab holds now; nothing if it is not there.
func (l *lab) read(name string) string {
	l.t.Helper()
	b, err := os.ReadFile(l.path(name))
	if err != nil && !os.IsNotExist(err) {
		l.t.Fatal(err)
	}
	return string(b)
}

// eventually waits until is.
func (l *lab) eventually(what string, is func() bool) {
	l.t.Helper()
	for deadline := time.Now().Add(startTimeout); !is(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			l.t.Fatalf("%s: not after %v", what, startTimeout)
		}
	}
}
