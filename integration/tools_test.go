package integration

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// tools are the programs that the tests run, with the Debian package of each.
var tools = map[string]string{
	"ip": "iproute2", "ss": "iproute2", "nstat": "iproute2", "sysctl": "procps", "setpriv": "util-linux", "nft": "nftables",
	"curl": "curl", "openssl": "openssl", "gnutls-cli": "gnutls-bin",
	"python3": "python3", "node": "nodejs", "keytool": "default-jre-headless", "javac": "default-jdk-headless",
	"gnutls-serv": "gnutls-bin", "nginx": "nginx", "tcpdump": "tcpdump",
	"wget": "wget", "git": "git", "setsid": "util-linux", "bash": "bash",
	"tshark": "tshark", "dumpcap": "wireshark-common", "editcap": "wireshark-common", "ping": "iputils-ping",
	"h2load": "nghttp2-client",
}

// binary is the path of the synscope that is tested, in buildDir, which any user
// can read.
var binary, buildDir string

func TestMain(m *testing.M) { os.Exit(testMain(m)) }

func testMain(m *testing.M) int {
	if err := checkTools(); err != nil {
		fmt.Fprintln(os.Stderr, "integration:", err)
		return 1
	}
	dir, err := os.MkdirTemp("", "synscope-integration-")
	if err != nil {
		fmt.Fprintln(os.Stderr, "integration:", err)
		return 1
	}
	defer os.RemoveAll(dir)
	buildDir, binary = dir, filepath.Join(dir, "synscope")
	if err := build(); err != nil {
		fmt.Fprintln(os.Stderr, "integration:", err)
		return 1
	}
	return m.Run()
}

// build builds synscope, and the clients that are not installed.
func build() error {
	if err := os.Chmod(buildDir, 0o755); err != nil {
		return err
	}
	for _, command := range [][]string{
		append(append([]string{"go", "build", "-o", binary}, raceFlags...), "synscope/cmd/synscope"),
		{"go", "build", "-o", filepath.Join(buildDir, "goclient"), "./testdata/goclient"},
		{"go", "build", "-o", filepath.Join(buildDir, "quicclient"), "./testdata/quicclient"},
		{"javac", "-d", filepath.Join(buildDir, "java"), "testdata/java/Fetch.java"},
	} {
		if out, err := exec.Command(command[0], command[1:]...).CombinedOutput(); err != nil {
			return fmt.Errorf("%s: %w\n%s", strings.Join(command, " "), err, out)
		}
	}
	return nil
}

func checkTools() error {
	if os.Geteuid() != 0 {
		return fmt.Errorf("the tests make network namespaces and need root")
	}
	var missing []string
	for tool, pkg := range tools {
		if _, err := exec.LookPath(tool); err != nil {
			missing = append(missing, fmt.Sprintf("%s (package %s)", tool, pkg))
		}
	}
	if missing != nil {
		return fmt.Errorf("missing: %s: make test installs them", strings.Join(missing, ", "))
	}
	return nil
}
