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
	"python3": "python3", "node": "nodejs", "keytool": "default-jre-headless",
	"gnutls-serv": "gnutls-bin", "nginx": "nginx", "tcpdump": "tcpdump",
	"tshark": "tshark", "dumpcap": "wireshark-common", "editcap": "wireshark-common", "ping": "iputils-ping",
}

// binary is the path of the synscope that is tested.
var binary string

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
	binary = filepath.Join(dir, "synscope")
	args := append([]string{"build", "-o", binary}, raceFlags...)
	build := exec.Command("go", append(args, "synscope/cmd/synscope")...)
	if out, err := build.CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "integration: building synscope: %v\n%s", err, out)
		return 1
	}
	return m.Run()
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
