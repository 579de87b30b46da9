package integration

import (
	"encoding/xml"
	"os"
	"os/exec"
	"slices"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// An expectation that is not met is told in one line with what happened instead,
// and makes the exit code 3, unless the command has one of its own.
func TestRunExpect(t *testing.T) {
	const exitUnmet = syscall.WaitStatus(3 << 8)
	curl := []string{"curl", "-sS", "-o", "/dev/null"}
	asEachUser(t, func(t *testing.T, b *bench) {
		for _, tt := range []struct {
			expect  []string
			command []string
			status  syscall.WaitStatus
			lines   []string // on the standard error, those of synscope
		}{
			{[]string{`tls.version == "TLS 1.3" && !tls.resumed`, `tcp.retransmits == 0`, `tls.alpn == "h2"`}, append(curl, page), 0, nil},
			{[]string{`tls.version == "TLS 1.3"`, `!tls.resumed`, `tls.alpn == "h2"`}, append(curl, "--tls-max", "1.2", "--no-alpn", page), exitUnmet, []string{
				`expected tls.version == "TLS 1.3": #1 ` + hostname + ` has tls.version "TLS 1.2"`,
				`expected tls.alpn == "h2": #1 ` + hostname + ` has tls.alpn ""`,
			}},
			{[]string{`conns.exists(c, c.alert == "unknown_ca")`, `timeline.exists(e, e.kind == "tls.alert" && e.from == "client")`},
				[]string{"sh", "-c", "openssl req -x509 -newkey rsa:2048 -nodes -keyout /dev/null -out other.pem -subj /CN=other 2>/dev/null; ! curl -s --cacert other.pem " + page}, 0, nil},
			{[]string{`conns.exists(c, c.alert == "unknown_ca")`}, append(curl, page), exitUnmet, []string{
				`expected conns.exists(c, c.alert == "unknown_ca"): of 1 connection, #1 ` + hostname + ` has alert ""`,
			}},
			{[]string{`tcp.retransmits == 0`}, []string{"true"}, exitUnmet, []string{
				"true made no connection", `expected tcp.retransmits == 0: there was no connection`,
			}},
			{[]string{`conns.size() == 0`}, []string{"true"}, 0, []string{"true made no connection"}},
			{[]string{`tls.resumed`}, []string{"sh", "-c", "exit 37"}, 37 << 8, []string{
				"sh made no connection", "expected tls.resumed: there was no connection",
			}},
			{[]string{`tls.resumed`}, []string{"sh", "-c", "kill -TERM $$"}, syscall.WaitStatus(unix.SIGTERM), []string{
				"sh made no connection", "expected tls.resumed: there was no connection",
			}},
		} {
			var args []string
			for _, expr := range tt.expect {
				args = append(args, "--expect", expr)
			}
			o := b.runFlags(append(append(args, "--"), tt.command...)...)
			var lines []string
			for line := range strings.Lines(o.stderr) {
				if text, ok := strings.CutPrefix(strings.TrimSuffix(line, "\n"), "synscope: "); ok {
					lines = append(lines, text)
				}
			}
			if o.status != tt.status || !slices.Equal(lines, tt.lines) {
				t.Errorf("%q of %q: status %#x, want %#x\n%s\nwant\n%s", tt.expect, tt.command, int(o.status), int(tt.status), strings.Join(lines, "\n"), strings.Join(tt.lines, "\n"))
			}
		}
	})
}

// The report has the command and each expectation, with the ladder of what
// failed, and is there whatever became of the command.
func TestRunJUnit(t *testing.T) {
	type outcome struct {
		Message string `xml:"message,attr"`
	}
	type report struct {
		Tests    int `xml:"tests,attr"`
		Failures int `xml:"failures,attr"`
		Errors   int `xml:"errors,attr"`
		Cases    []struct {
			Name    string   `xml:"name,attr"`
			Failure *outcome `xml:"failure"`
			Error   *outcome `xml:"error"`
			Skipped *outcome `xml:"skipped"`
			Output  string   `xml:"system-out"`
		} `xml:"testsuite>testcase"`
	}
	asEachUser(t, func(t *testing.T, b *bench) {
		file := b.path("report.xml")
		run := func(command ...string) report {
			t.Helper()
			b.runFlags(append([]string{"--junit", file, "--expect", `tls.version == "TLS 1.3"`, "--expect", "tls.resumed", "--"}, command...)...)
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			// By expat, which is another's.
			if out, err := exec.Command("/usr/bin/python3", "-c", "import sys, xml.dom.minidom; xml.dom.minidom.parse(sys.argv[1])", file).CombinedOutput(); err != nil {
				t.Errorf("no valid XML: %s\n%s", out, text)
			}
			var r report
			if err := xml.Unmarshal(text, &r); err != nil || r.Tests != 3 || len(r.Cases) != 3 {
				t.Fatalf("%v\n%s", err, text)
			}
			return r
		}

		r := run("curl", "-sS", "-o", "/dev/null", page)
		passed, failed := r.Cases[1], r.Cases[2]
		if r.Failures != 1 || r.Errors != 0 || r.Cases[0].Failure != nil || passed.Name != `tls.version == "TLS 1.3"` || passed.Failure != nil {
			t.Errorf("got %+v", r)
		}
		if want := "expected tls.resumed: #1 " + hostname + " has tls.resumed false"; failed.Failure == nil || failed.Failure.Message != want {
			t.Errorf("got %+v, want %s", failed.Failure, want)
		}
		for _, want := range []string{"#1 ", "SYN ACK", "ClientHello"} {
			if !strings.Contains(failed.Output, want) {
				t.Errorf("the ladder of what failed has no %s:\n%s", want, failed.Output)
			}
		}

		// An argument and a server name that are hostile to XML.
		r = run("sh", "-c", "curl -sko /dev/null --connect-to '::shop.example:443' 'https://a]]>\x1b&<b>/'; exit 7 # \x1b \xff")
		if own := r.Cases[0]; own.Failure == nil || own.Failure.Message != "exit code 7" {
			t.Errorf("got %+v", own)
		}
		r = run("sh", "-c", "kill -KILL $$")
		if own := r.Cases[0]; own.Failure == nil || own.Failure.Message != "ended by SIGKILL" || r.Failures != 3 {
			t.Errorf("got %+v", own)
		}
		r = run("synscope-has-no-such-program")
		if own := r.Cases[0]; own.Error == nil || r.Errors != 1 || r.Failures != 0 || r.Cases[1].Skipped == nil {
			t.Errorf("got %+v", r)
		}
	})
}
