package main

import (
	"os"
	"runtime"
	"runtime/debug"
	"time"

	"github.com/spf13/cobra"

	"synscope/internal/config"
	"synscope/internal/control"
	"synscope/internal/privilege"
)

// openControl opens the control socket, unless there is to be none.
func (d *daemon) openControl() error {
	path := d.cfg.Control
	if path == "" || path == config.NoControl {
		return nil
	}
	id, err := privilege.Resolve(d.cfg.User)
	if err != nil {
		return usageError{err}
	}
	d.socket, err = control.Listen(path, id.UID, id.GID, d.log)
	return err
}

// status returns what says for the control socket what the daemon does. All but
// the counts is set at start only.
func (d *daemon) status(started time.Time) func() control.Status {
	s := control.Status{
		Version: version(), PID: os.Getpid(), Started: started, Device: d.iface.Name(),
		Events: d.cfg.Output.Events, Capture: d.cfg.Output.PCAP, KeyLog: d.cfg.Output.KeyLog,
	}
	for _, p := range d.cfg.TUN.Addresses {
		s.Prefixes = append(s.Prefixes, p.Masked())
	}
	return func() control.Status {
		now, n := s, d.scope.Stats()
		now.Stack = control.StackStatus{Open: n.Open, Endpoints: n.Endpoints, Ports: n.Ports, WriteErrors: n.WriteErrors}
		now.Goroutines = runtime.NumGoroutine()
		return now
	}
}

// version is that of the module the binary was built from.
func version() string {
	if b, ok := debug.ReadBuildInfo(); ok {
		return b.Main.Version
	}
	return ""
}

// controlFlag adds the flag that says which daemon to ask.
func controlFlag(cmd *cobra.Command) *string {
	return cmd.Flags().String("control", config.Default().Control, "`PATH` of the daemon's control socket")
}

// formatFlag adds the flag that says how events are written.
func formatFlag(cmd *cobra.Command) *config.Format {
	f := config.FormatLadder
	cmd.Flags().Func("format", "how events are written: `ladder|json` (default ladder)", func(text string) error {
		return f.UnmarshalText([]byte(text))
	})
	return &f
}
