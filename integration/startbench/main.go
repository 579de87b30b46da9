// Startbench measures what `synscope run` adds to a command: the time of
//
//	true
//	unshare -rn true
//	synscope run -- true
//
// as root, as an ordinary user, and as an ordinary user where /dev/net/tun is
// open to all. The three run in turns, so that whatever else the machine does
// meets all of them; a row gives the medians of the rounds, and what synscope
// adds in milliseconds. It needs root, and changes nothing: the device node is
// another one, seen in a mount namespace of its own.
package main

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"syscall"
	"text/tabwriter"
	"time"

	"golang.org/x/sys/unix"
)

func main() {
	binary := flag.String("synscope", "bin/synscope", "the `binary` to measure")
	rounds := flag.Int("rounds", 40, "how often each command runs")
	flag.Parse()
	if err := run(*binary, *rounds); err != nil {
		fmt.Fprintln(os.Stderr, "startbench:", err)
		os.Exit(1)
	}
}

// ordinary is a user that need not be known to the system.
const ordinary = 54321

const tunDevice = "/dev/net/tun"

func run(binary string, rounds int) error {
	// Of this thread alone, which all commands are started from.
	runtime.LockOSThread()
	if err := unix.Unshare(unix.CLONE_NEWNS); err != nil {
		return fmt.Errorf("a mount namespace: %w", err)
	}
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "startbench")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	if err := os.Chmod(dir, 0o755); err != nil {
		return err
	}
	synscope, err := install(binary, dir)
	if err != nil {
		return err
	}
	w := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintf(w, "ms, medians of %d\ttrue\tunshare -rn true\tsynscope run -- true\tadded\t\n", rounds)
	for _, row := range []struct {
		name string
		user uint32
		tun  os.FileMode
	}{
		{"root", 0, 0o600}, {"ordinary user", ordinary, 0o600}, {"ordinary user, tun for all", ordinary, 0o666},
	} {
		restore, err := mountTUN(filepath.Join(dir, "tun"), row.tun)
		if err != nil {
			return err
		}
		medians, err := measure(rounds, row.user, [][]string{
			{"/bin/true"}, {"unshare", "-rn", "/bin/true"}, {synscope, "run", "--", "/bin/true"},
		})
		if err := errors.Join(err, restore()); err != nil {
			return fmt.Errorf("as %s: %w", row.name, err)
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t\n", row.name, ms(medians[0]), ms(medians[1]), ms(medians[2]), ms(medians[2]-medians[0]))
	}
	return w.Flush()
}

// install copies the binary to where every user can execute it.
func install(binary, dir string) (string, error) {
	b, err := os.ReadFile(binary)
	if err != nil {
		return "", err
	}
	path := filepath.Join(dir, "synscope")
	return path, os.WriteFile(path, b, 0o755)
}

// mountTUN has /dev/net/tun be a node with the given mode, until the function
// that it returns is called.
func mountTUN(node string, mode os.FileMode) (restore func() error, err error) {
	const major, minor = 10, 200 // Documentation/networking/tuntap.rst
	if err := unix.Mknod(node, unix.S_IFCHR|uint32(mode), int(unix.Mkdev(major, minor))); err != nil {
		return nil, fmt.Errorf("%s: %w", node, err)
	}
	if err := os.Chmod(node, mode); err != nil { // whatever the umask is
		return nil, err
	}
	if err := unix.Mount(node, tunDevice, "", unix.MS_BIND, ""); err != nil {
		return nil, fmt.Errorf("mount over %s: %w", tunDevice, err)
	}
	return func() error {
		return errors.Join(unix.Unmount(tunDevice, 0), os.Remove(node))
	}, nil
}

// pause is between two runs: a network namespace is taken down when its command
// has ended, which is not to be at the expense of the next one.
const pause = 50 * time.Millisecond

// measure runs commands in turns, and returns the medians of their times.
func measure(rounds int, user uint32, commands [][]string) ([]time.Duration, error) {
	times := make([][]time.Duration, len(commands))
	for round := range rounds + 1 { // the first only fills the caches
		for i, args := range commands {
			cmd := exec.Command(args[0], args[1:]...)
			cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: user, Gid: user}}
			began := time.Now()
			err := cmd.Run()
			took := time.Since(began)
			if err != nil {
				return nil, fmt.Errorf("%v: %w", args, err)
			}
			if round > 0 {
				times[i] = append(times[i], took)
			}
			time.Sleep(pause)
		}
	}
	medians := make([]time.Duration, len(commands))
	for i, ts := range times {
		slices.Sort(ts)
		medians[i] = ts[len(ts)/2]
	}
	return medians, nil
}

func ms(d time.Duration) string { return fmt.Sprintf("%.1f", float64(d)/1e6) }
