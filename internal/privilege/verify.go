package privilege

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// taskDir has a directory for each thread of the process (proc(5)).
const taskDir = "/proc/self/task"

// verifyThreads reads back the state of every thread. Threads that start
// afterwards inherit that of the thread that starts them.
func verifyThreads(id Identity, held capabilities) error {
	tasks, err := os.ReadDir(taskDir)
	if err != nil {
		return fmt.Errorf("what is left cannot be read back: %w", err)
	}
	seen := 0
	for _, task := range tasks {
		status, err := os.ReadFile(filepath.Join(taskDir, task.Name(), "status"))
		if errors.Is(err, fs.ErrNotExist) || errors.Is(err, unix.ESRCH) {
			continue // the thread has ended
		}
		if err != nil {
			return fmt.Errorf("what is left cannot be read back: %w", err)
		}
		if err := verifyStatus(string(status), id, held); err != nil {
			return fmt.Errorf("thread %s: %w", task.Name(), err)
		}
		seen++
	}
	if seen == 0 {
		return fmt.Errorf("what is left cannot be read back: no thread in %s", taskDir)
	}
	return nil
}

// verifyStatus holds the status of a thread, as /proc shows it, against what it
// should be after the drop.
func verifyStatus(status string, id Identity, held capabilities) error {
	const none = "0000000000000000"
	four := func(n int) string { return strings.Join(slices.Repeat([]string{strconv.Itoa(n)}, 4), " ") }
	want := [][2]string{
		{"Uid", four(id.UID)}, // real, effective, saved, file system
		{"Gid", four(id.GID)},
		{"CapInh", none}, {"CapPrm", none}, {"CapEff", none}, {"CapAmb", none},
		{"NoNewPrivs", "1"},
	}
	if held.setGID {
		want = append(want, [2]string{"Groups", ""})
	}
	if held.setPCap {
		want = append(want, [2]string{"CapBnd", none})
	}
	got := map[string]string{}
	for line := range strings.Lines(status) {
		name, value, _ := strings.Cut(line, ":")
		got[name] = strings.Join(strings.Fields(value), " ")
	}
	for _, w := range want {
		if value, ok := got[w[0]]; !ok || value != w[1] {
			return fmt.Errorf("%s is %q, want %q", w[0], value, w[1])
		}
	}
	return nil
}
