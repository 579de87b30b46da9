package main

import (
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"syscall"
)

// bridged is the server's address that bridges beside it go to.
const bridged = serverNet + ".1"

// kernel is the command of the kernel's server.
func kernel(b *bench, dir string) ([]string, error) { return before(b, dir), nil }

// before is the command of the kernel's server with a bridge before it.
func before(b *bench, dir string, bridge ...string) []string {
	return append([]string{b.self, roleServer, b.pki.cert, b.pki.key, filepath.Join(dir, controlSocket)}, bridge...)
}

// synscopeRun has the client be the command of synscope run. Each start adds to
// the events.
func synscopeRun(b *bench, dir string) []string {
	return []string{"env", "SSL_CERT_FILE=" + b.pki.ca, b.synscope, "run", "--to", "world", "--tls", "open",
		"--format", "json", "--events", filepath.Join(dir, eventsFile), "--"}
}

// mitmdump finds its authority in its folder. It does not verify the server: it
// would go by the address.
func mitmdump(b *bench, dir string) ([]string, error) {
	authority, err := os.ReadFile(b.pki.authority)
	if err != nil {
		return nil, err
	}
	return before(b, dir, "mitmdump", "--quiet", "--set", "confdir="+dir, "--ssl-insecure", "--listen-port", fmt.Sprint(portBridge),
		"--mode", fmt.Sprintf("reverse:https://%s:%d", bridged, portTLSEcho)), os.WriteFile(filepath.Join(dir, "mitmproxy-ca.pem"), authority, 0o600)
}

// runBridge runs a bridge until it ends, or SIGTERM comes, which it gets too: it
// may have children, which it alone ends. It is in our process group.
func runBridge(args []string) error {
	runtime.LockOSThread() // see Pdeathsig
	end := make(chan os.Signal, 1)
	signal.Notify(end, syscall.SIGTERM)
	cmd := exec.Command(args[0], args[1:]...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGTERM}
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	if err := cmd.Start(); err != nil {
		return err
	}
	go func() { // until the process ends
		<-end
		cmd.Process.Signal(syscall.SIGTERM)
	}()
	return fmt.Errorf("%s has ended: %v", args[0], cmd.Wait())
}
