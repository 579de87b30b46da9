package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// processCPU returns the CPU time that a process has used, user and system, in
// nanoseconds of its CPU clock, or 0 if there is no such process.
func processCPU(pid int) time.Duration {
	// As clock_getcpuclockid(3) makes it: the complement of the process id, and
	// CPUCLOCK_SCHED.
	clock := int32(^pid)<<3 | 2
	var ts unix.Timespec
	if err := unix.ClockGettime(clock, &ts); err != nil {
		return 0
	}
	return time.Duration(ts.Nano())
}

// residentBytes returns the resident set size of a process.
func residentBytes(pid int) (int64, error) {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/statm", pid))
	if err != nil {
		return 0, err
	}
	fields := strings.Fields(string(b)) // proc_pid_statm(5): size resident …
	if len(fields) < 2 {
		return 0, fmt.Errorf("/proc/%d/statm: %q", pid, b)
	}
	pages, err := strconv.ParseInt(fields[1], 10, 64)
	return pages * int64(os.Getpagesize()), err
}

// goroutines asks at a control socket how many goroutines a process has.
func goroutines(socket string) (float64, error) {
	client := http.Client{Timeout: opTimeout, Transport: &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "unix", socket)
		},
		DisableKeepAlives: true,
	}}
	resp, err := client.Get("http://synscope/v1/status")
	if err != nil {
		return 0, err
	}
	defer resp.Body.Close()
	var status struct{ Goroutines float64 }
	err = json.NewDecoder(resp.Body).Decode(&status)
	return status.Goroutines, err
}

// processTree returns a process and its children, theirs included.
func processTree(pid int) []int {
	pids := []int{pid}
	for i := 0; i < len(pids); i++ {
		threads, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", pids[i]))
		for _, of := range threads {
			b, _ := os.ReadFile(of) // it may have ended
			for f := range strings.FieldsSeq(string(b)) {
				if child, err := strconv.Atoi(f); err == nil {
					pids = append(pids, child)
				}
			}
		}
	}
	return pids
}

// raiseFileLimit allows as many files as the system does, for the processes that
// are started too, of which n must be possible.
func raiseFileLimit(n int) error {
	var l syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &l); err != nil {
		return err
	}
	if l.Max < uint64(n) {
		return fmt.Errorf("only %d open files are allowed, and %d needed: raise the limit (ulimit -Hn), or give fewer with -idle", l.Max, n)
	}
	l.Cur = l.Max
	return syscall.Setrlimit(syscall.RLIMIT_NOFILE, &l) // setting it ourselves, the children get it as well
}
