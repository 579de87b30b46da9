//go:build oracle

package stack

import (
	"bytes"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// The oracle is a gVisor that tells its own writes of endpoint states, which is
// what our observation has to equal. It is made from the module cache in a
// temporary folder:
//
//	go test -tags oracle -run TestOracle ./stack
const (
	oracleFile   = "pkg/tcpip/transport/tcp/endpoint.go"
	oracleAnchor = "\toldstate := EndpointState(e.state.Swap(uint32(state)))\n"
	oracleHook   = "\tif StateHook != nil {\n\t\tStateHook(e.TransportEndpointInfo.ID, state)\n\t}\n"
	oracleVar    = "\n// StateHook is told each state of each endpoint, under the endpoint's lock.\nvar StateHook func(id stack.TransportEndpointID, state EndpointState)\n"
)

func TestOracle(t *testing.T) {
	dir := t.TempDir()
	gvisor := filepath.Join(dir, "gvisor")
	copyModule(t, strings.TrimSpace(goCommand(t, "list", "-m", "-f", "{{.Dir}}", "gvisor.dev/gvisor")), gvisor)
	patch(t, filepath.Join(gvisor, oracleFile))

	mod := filepath.Join(dir, "oracle.mod")
	gomod := strings.TrimSpace(goCommand(t, "env", "GOMOD"))
	copyFile(t, gomod, mod)
	copyFile(t, filepath.Join(filepath.Dir(gomod), "go.sum"), filepath.Join(dir, "oracle.sum"))
	goCommand(t, "mod", "edit", "-replace", "gvisor.dev/gvisor="+gvisor, mod)
	t.Logf("%s", goCommand(t, "test", "-modfile="+mod, "-mod=mod", "-tags", "oraclepatched", "-count=1", "-v", "-run", "^TestStatesEqualOracle$", "."))
}

// goCommand runs the go command and returns what it prints.
func goCommand(t *testing.T, args ...string) string {
	t.Helper()
	out, err := exec.Command("go", args...).CombinedOutput()
	if err != nil {
		t.Fatalf("go %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return string(out)
}

// copyModule copies a module out of the cache.
func copyModule(t *testing.T, from, to string) {
	t.Helper()
	err := filepath.WalkDir(from, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		rel, err := filepath.Rel(from, path)
		if err == nil {
			copyFile(t, path, filepath.Join(to, rel))
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

func copyFile(t *testing.T, from, to string) {
	t.Helper()
	b, err := os.ReadFile(from)
	if err == nil {
		err = os.MkdirAll(filepath.Dir(to), 0o755)
	}
	if err == nil {
		err = os.WriteFile(to, b, 0o644)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// patch puts the hook behind the one place where gVisor sets a state.
func patch(t *testing.T, path string) {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if n := bytes.Count(b, []byte(oracleAnchor)); n != 1 {
		t.Fatalf("%s has %q %d times, want once: gVisor sets its states elsewhere now, and the oracle has to follow", oracleFile, oracleAnchor, n)
	}
	b = bytes.Replace(b, []byte(oracleAnchor), []byte(oracleAnchor+oracleHook), 1)
	if err := os.WriteFile(path, append(b, oracleVar...), 0o644); err != nil {
		t.Fatal(err)
	}
}
