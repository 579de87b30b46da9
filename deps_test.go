package synscope_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"go/build"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

const module = "synscope"

// A rule says what of ours a package may import, and why not more. Imports
// point one way, with package event at the bottom.
type rule struct {
	imports []string // packages of this module
	// gvisor says that it may import gVisor, directly or by way of others.
	gvisor bool
	why    string
}

var rules = map[string]rule{
	"event": {
		why: "it is what all others talk about, so it knows none of them",
	},
	"tun": {
		why: "a device carries packets and does not look into them",
	},
	"tun/tuntest": {
		imports: []string{"tun"},
		why:     "it stands in for a device",
	},
	"stack/tcptrack": {
		imports: []string{"event"},
		why:     "it follows TCP from packets alone, of whatever stack",
	},
	"stack": {
		imports: []string{"event", "stack/tcptrack", "tun"}, gvisor: true,
		why: "it tells its Observer, and does not know who that is",
	},
	"tlsbridge/tlswire": {
		imports: []string{"event"},
		why:     "it decodes TLS from bytes alone, of whatever connection",
	},
	"tlsbridge": {
		imports: []string{"event", "tlsbridge/tlswire"},
		why:     "it serves any net.Listener, and does not know who observes it",
	},
	"internal/pack": {
		imports: []string{"event"},
		why:     "it makes events small, and does not know who keeps them",
	},
	"internal/trace": {
		imports: []string{"event", "internal/pack", "stack/tcptrack", "tlsbridge/tlswire"},
		why:     "it makes events of observations, be they of a running stack or of a recording",
	},
	"internal/explain": {
		why: "it is text",
	},
	"internal/typeset": {
		imports: []string{"event"},
		why:     "it is what the renderers of events have in common",
	},
	"internal/ladder": {
		imports: []string{"event", "internal/explain", "internal/typeset"},
		why:     "a renderer sees events only, so that it draws logged ones as well",
	},
	"internal/jsongen": {
		why: "it reads the source of package event, and must work where that does not compile",
	},
	"internal/diff": {
		imports: []string{"event", "internal/typeset"},
		why:     "it compares events, wherever they come from",
	},
	"internal/filter": {
		imports: []string{"event", "internal/nearest"},
		why:     "an expression is over events and what they sum up to, whoever made them",
	},
	"internal/expect": {
		imports: []string{"event", "internal/filter", "internal/typeset"},
		why:     "it judges what is told, and does not know who tells it or who wants the verdict",
	},
	"internal/junit": {
		why: "it writes test reports, of whatever was tested",
	},
	"internal/nearest": {
		why: "it compares names",
	},
	"internal/host": {
		imports: []string{"tun"}, gvisor: true,
		why: "it is the other end of a cable, and knows as little of the endpoint as a client does",
	},
	"internal/relay": {
		imports: []string{"event", "stack"}, gvisor: true,
		why: "it forwards datagrams of whatever sandbox, and does not know who is told",
	},
	"internal/jsonlines": {
		imports: []string{"event"},
		why:     "a sink sees events only",
	},
	"internal/keylog": {
		imports: []string{"tlsbridge/tlswire"},
		why:     "it gets secrets, which are never in events",
	},
	"internal/pcapng": {
		imports: []string{"event", "internal/keylog", "tlsbridge/tlswire"},
		why:     "it gets packets, events and secrets, and does not know what makes them",
	},
	"internal/capture": {
		imports: []string{"tlsbridge/tlswire"},
		why:     "it reads packets and secrets out of files, and does not know what is made of them",
	},
	"internal/control": {
		imports: []string{"event", "internal/jsonlines", "internal/pack", "internal/trace"},
		why:     "it keeps and serves events, and does not know what makes them or who shows them",
	},
	"internal/config": {
		imports: []string{"event", "internal/nearest"},
		why:     "it is read and checked before anything else is made",
	},
	"internal/nameserver": {
		why: "it answers queries, of whatever connection",
	},
	"internal/outside": {
		imports: []string{"event"},
		why:     "it dials, and does not know what its answers and connections are for",
	},
	"internal/sandbox": {
		imports: []string{"tun"},
		why:     "it makes the place where a command runs, and does not know what answers it there",
	},
	"internal/trust": {
		why: "what a client trusts is files and variables, and a certificate of whatever authority",
	},
	"internal/privilege": {
		why: "what gives up privileges is to be read on its own",
	},
	".": {
		imports: []string{
			"event", "internal/ladder", "internal/nameserver", "internal/outside", "internal/relay", "internal/sandbox", "internal/trace", "internal/trust",
			"stack", "tlsbridge", "tlsbridge/tlswire", "tun",
		}, gvisor: true,
		why: "it wires the others together, and is the API for programs",
	},
	"synscopetest": {
		imports: []string{
			".", "event", "internal/expect", "internal/host", "internal/ladder", "internal/nameserver", "stack", "tlsbridge", "tun/tuntest",
		}, gvisor: true,
		why: "it puts an endpoint and a client together for the tests of others",
	},
	"cmd/synscope": {
		imports: []string{
			".", "event", "internal/capture", "internal/config", "internal/control", "internal/diff", "internal/expect", "internal/explain", "internal/filter",
			"internal/jsonlines", "internal/junit", "internal/keylog", "internal/ladder", "internal/pcapng", "internal/privilege",
			"internal/sandbox", "internal/trace",
			"internal/typeset", "stack", "tlsbridge", "tlsbridge/tlswire", "tun",
		}, gvisor: true,
		why: "it is the command",
	},
	"integration/readbench": {
		why: "it measures the binary that was built, from outside",
	},
	"integration/servebench": {
		why: "it measures the binary that was built, from outside",
	},
	"integration/startbench": {
		why: "it measures the binary that was built, from outside",
	},
	"integration": {
		why: "it tests the binary that was built, from outside",
	},
}

// A listed package is what go list says of it.
type listed struct {
	ImportPath    string
	Imports, Deps []string
}

// list returns the packages of the module by their folder.
func list(t *testing.T) map[string]listed {
	t.Helper()
	cmd := exec.Command("go", "list", "-json=ImportPath,Imports,Deps", "./...")
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list: %v\n%s", err, &stderr)
	}
	ps := make(map[string]listed)
	for d := json.NewDecoder(bytes.NewReader(out)); ; {
		var p listed
		if err := d.Decode(&p); errors.Is(err, io.EOF) {
			return ps
		} else if err != nil {
			t.Fatal(err)
		}
		ps[folder(p.ImportPath)] = p
	}
}

// folder returns the folder of a package of ours, "" for that of others.
func folder(importPath string) string {
	if importPath == module {
		return "."
	}
	f, ok := strings.CutPrefix(importPath, module+"/")
	if !ok {
		return ""
	}
	return f
}

func TestImports(t *testing.T) {
	packages := list(t)
	for dir, p := range packages {
		r, ok := rules[dir]
		if !ok {
			t.Errorf("%s has no rule: say what it may import, and why", dir)
			continue
		}
		for _, i := range p.Imports {
			if f := folder(i); f != "" && !slices.Contains(r.imports, f) {
				t.Errorf("%s imports %s, but %s", dir, i, r.why)
			}
		}
		for _, d := range p.Deps {
			if strings.HasPrefix(d, "gvisor.dev/") && !r.gvisor {
				t.Errorf("%s depends on %s: only stack, and what runs one, has gVisor in it", dir, d)
				break
			}
		}
	}
	for dir := range rules {
		if _, ok := packages[dir]; !ok {
			t.Errorf("there is a rule for %s, which is no package", dir)
		}
	}
}

// Package event can be read by any program that reads the log.
func TestEventImportsOnlyTheStandardLibrary(t *testing.T) {
	p, err := build.ImportDir("event", 0)
	if err != nil {
		t.Fatal(err)
	}
	for _, i := range p.Imports {
		if strings.Contains(i, ".") || folder(i) != "" {
			t.Errorf("event imports %s", i)
		}
	}
}

// A file is read in one sitting, and a package is named after what it has.
func TestFiles(t *testing.T) {
	const maxLines = 600
	files := 0
	err := filepath.WalkDir(".", func(name string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir():
			if base := d.Name(); name != "." && (strings.HasPrefix(base, ".") || base == "testdata") {
				return filepath.SkipDir
			}
			if slices.Contains([]string{"util", "utils", "common", "helper", "helpers", "misc"}, d.Name()) {
				t.Errorf("%s: the name does not say what is in it", name)
			}
		case path.Ext(name) == ".go":
			files++
			b, err := os.ReadFile(name)
			if err != nil {
				return err
			}
			if n := bytes.Count(b, []byte("\n")); n > maxLines {
				t.Errorf("%s has %d lines, more than %d", name, n, maxLines)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if files < len(rules) {
		t.Errorf("only %d files were looked at", files)
	}
}
