package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"

	sd "github.com/coreos/go-systemd/v22/daemon"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"synscope"
	"synscope/event"
	"synscope/internal/config"
	"synscope/internal/control"
	"synscope/internal/privilege"
	"synscope/stack"
	"synscope/tlsbridge"
	"synscope/tun"
)

func newServeCommand() *cobra.Command {
	var file string
	cmd := &cobra.Command{
		Use:   "serve",
		Short: "Answer everything that is routed into a TUN interface, and tell it",
		Long: "Serve makes a TUN interface and answers on every address and port behind it: TLS\n" +
			"and plain HTTP get the timeline of their own connection, unless configured\n" +
			"otherwise. What happens from SYN to Finished is told on the standard output.\n\n" +
			"It starts with the privilege to make the interface (CAP_NET_ADMIN) and gives up\n" +
			"all privileges before the first packet is read. SIGHUP reads the configuration\n" +
			"again, SIGTERM and SIGINT end it in order. While it runs, synscope ls, show and\n" +
			"tail ask it over its control socket.",
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			d := &daemon{file: file, flags: cmd.Flags(), stdout: cmd.OutOrStdout(), stderr: cmd.ErrOrStderr()}
			return d.run(cmd.Context())
		},
	}
	cmd.Flags().StringVar(&file, "config", "", "a YAML file with the same settings as the flags, which override it")
	config.BindFlags(cmd.Flags(), config.Default())
	return cmd
}

// A daemon is one run of serve.
type daemon struct {
	file   string // the configuration file, or ""
	flags  *pflag.FlagSet
	stdout io.Writer
	stderr io.Writer
	log    *slog.Logger

	cfg       *config.Config
	outputs   *outputs
	socket    *control.Listener // nil for none
	control   *control.Server   // nil for none; owns socket
	authority *tlsbridge.Authority
	tickets   [][32]byte
	iface     *tun.Interface
	scope     *synscope.Scope
}

// run goes from the flags to the end of the daemon. What needs privileges comes
// first, then they are given up, then packets are read.
func (d *daemon) run(ctx context.Context) error {
	if ctx == nil {
		ctx = context.Background()
	}
	keepHeadroom()
	defer giveBackAtRest()()
	d.log = slog.New(newLineHandler(d.stderr))
	stack.LogTo(func(text string) { d.log.Warn("netstack: " + text) })
	signals := make(chan os.Signal, 4)
	signal.Notify(signals, syscall.SIGHUP, syscall.SIGTERM, syscall.SIGINT)
	defer signal.Stop(signals)

	var err error
	if d.cfg, err = config.LoadWithFlags(d.file, d.flags); err != nil {
		return usageError{err}
	}
	endpoints, err := newEndpoints(d.cfg)
	if err != nil {
		return usageError{err}
	}
	if err := d.acquire(); err != nil {
		d.release()
		return err
	}
	report, err := privilege.Drop(d.privileges())
	if err != nil {
		d.release()
		return err
	}
	d.log.Info(report.String())
	if err := d.start(endpoints); err != nil {
		d.closeSinks()
		return err
	}
	return d.serve(ctx, signals)
}

// acquire opens everything that takes privileges, or fails with nothing made
// that release does not undo.
func (d *daemon) acquire() error {
	cfg := d.cfg
	if _, err := privilege.Resolve(cfg.User); err != nil {
		return usageError{err}
	}
	tcfg := tun.Config{Name: cfg.TUN.Name, Addresses: cfg.TUN.Addresses, MTU: cfg.TUN.MTU, NoOffload: !cfg.TUN.Offload}
	if err := tcfg.Validate(); err != nil {
		return usageError{err}
	}
	var err error
	if d.outputs, err = openOutputs(cfg, d.stdout, d.log); err != nil {
		return err
	}
	if err := d.openControl(); err != nil {
		return err
	}
	if err := makeStateDir(cfg.StateDir); err != nil {
		return err
	}
	if d.authority, err = tlsbridge.LoadOrCreateAuthority(cfg.StateDir); err != nil {
		return err
	}
	if d.tickets, err = tlsbridge.LoadOrCreateTicketKeys(cfg.StateDir); err != nil {
		return err
	}
	if d.iface, err = tun.Open(tcfg); err != nil {
		return err
	}
	if err := d.iface.OffloadError(); err != nil && cfg.TUN.Offload {
		d.log.Warn("packets come one at a time: the kernel refused super-packets", "error", err)
	}
	for _, o := range d.iface.Overlaps() {
		d.log.Warn("another interface has a route to served addresses", "route", o)
	}
	return nil
}

func (d *daemon) release() {
	if d.iface != nil {
		d.iface.Close()
	}
	if d.socket != nil {
		d.socket.Close()
	}
	if d.outputs != nil {
		d.outputs.close()
	}
}

// makeStateDir makes the directory of the authority, for its owner alone.
func makeStateDir(dir string) error {
	if err := os.MkdirAll(dir, 0o711); err != nil {
		return hinted{fmt.Errorf("state directory %s: %w", dir, reason(err)), "give a directory that can be written with --state-dir"}
	}
	return nil
}

// privileges says what the running daemon still needs: its configuration, to
// read it again, and room for the files of a capture.
func (d *daemon) privileges() privilege.Plan {
	plan := privilege.Plan{User: d.cfg.User}
	if d.file != "" {
		plan.ReadPaths = append(plan.ReadPaths, filepath.Dir(d.file))
	}
	plan.ReadPaths = append(plan.ReadPaths, clientCAFiles(d.cfg)...)
	if o := &d.cfg.Output; o.PCAP != "" && (o.PCAPSize > 0 || o.PCAPAge > 0) {
		plan.WritePaths = append(plan.WritePaths, filepath.Dir(o.PCAP)) // for the files that follow
	}
	if d.socket != nil {
		plan.RemoveIn = append(plan.RemoveIn, d.socket.Dir())
	}
	return plan
}

func (d *daemon) start(e *endpoints) error {
	var err error
	started := time.Now()
	sinks := d.outputs.sinks()
	if d.socket != nil {
		d.control = control.NewServer(d.socket, control.Limits{Ended: d.cfg.Limits.History, Bytes: d.cfg.Limits.HistoryBytes})
		sinks = append(sinks, d.control)
	}
	cfg := synscope.Config{
		Stack: stackConfig(d.cfg, d.iface),
		TLS:   d.bridgeConfig(d.cfg, e),
		Sinks: sinks, KeyLog: d.outputs.keyLog(), Capture: d.outputs.capture(),
	}
	cfg.Untraced = len(cfg.Sinks) == 0 && cfg.KeyLog == nil && cfg.Capture == nil
	d.scope, err = synscope.Start(cfg)
	if err == nil && d.control != nil {
		d.control.Serve(d.status(started))
	}
	return err
}

// closeSinks ends what takes events, after the last of them.
func (d *daemon) closeSinks() error {
	if d.control != nil {
		d.control.Close()
	}
	return d.outputs.close()
}

// serve runs until a signal or the end of the interface.
func (d *daemon) serve(ctx context.Context, signals <-chan os.Signal) error {
	fmt.Fprintln(d.stderr, "synscope: ready")
	if _, err := sd.SdNotify(false, sd.SdNotifyReady); err != nil {
		d.log.Warn("service manager not told", "error", err)
	}
	changes := d.iface.Changes()
	for {
		select {
		case sig := <-signals:
			if sig == syscall.SIGHUP {
				d.reload()
				continue
			}
			return d.stop()
		case <-ctx.Done():
			return d.stop()
		case c, ok := <-changes:
			if !ok {
				changes = nil
				continue
			}
			d.scope.DeviceChanged(event.Device{Name: d.iface.Name(), Change: c.String()})
			d.log.Warn("interface "+c.String(), "name", d.iface.Name())
		case <-d.scope.Down():
			err := d.scope.Err()
			d.scope.Close() // no packet passes any more: there is nothing to wait for
			d.closeSinks()
			return hinted{fmt.Errorf("interface %s: %w", d.cfg.TUN.Name, err), "somebody else removed it: start again to make it anew"}
		}
	}
}

// stop ends the connections within the deadline, and everything else.
func (d *daemon) stop() error {
	sd.SdNotify(false, sd.SdNotifyStopping) // there is no one else to tell of an error now
	ctx, cancel := context.WithTimeout(context.Background(), d.cfg.Timeouts.Drain)
	defer cancel()
	err := d.scope.Shutdown(ctx)
	if errors.Is(err, context.DeadlineExceeded) {
		d.log.Warn("connections were still open at the drain deadline, and reset", "deadline", d.cfg.Timeouts.Drain)
		err = nil
	}
	return errors.Join(err, d.closeSinks())
}

// reload reads the configuration again. One that is wrong, or that changes what
// is set only at start, leaves the old one in force.
func (d *daemon) reload() {
	start := time.Now()
	if err := d.tryReload(); err != nil {
		d.log.Error("configuration not reloaded, the old one stays", "error", err)
		return
	}
	d.log.Info("configuration reloaded", "took", time.Since(start).Round(time.Millisecond))
}

func (d *daemon) tryReload() error {
	next, err := config.LoadWithFlags(d.file, d.flags)
	if err != nil {
		return err
	}
	if err := d.cfg.Reloadable(next); err != nil {
		return err
	}
	e, err := newEndpoints(next)
	if err != nil {
		return err
	}
	if err := d.scope.Reconfigure(policyOf(next), d.bridgeConfig(next, e)); err != nil {
		return err
	}
	d.cfg = next
	return nil
}
