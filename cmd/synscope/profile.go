//go:build profile

package main

import (
	"os"
	"os/signal"
	"runtime/pprof"
	"syscall"
)

// A binary built with the tag "profile" writes a CPU profile to the file that
// SYNSCOPE_PROFILE names, between two SIGUSR2. It is what make pgo runs.
func init() {
	path := os.Getenv("SYNSCOPE_PROFILE")
	if path == "" {
		return
	}
	var files [2]*os.File
	for i, kind := range []string{"cpu", "heap"} {
		var err error
		if files[i], err = os.OpenFile(path+"."+kind, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600); err != nil {
			panic(err)
		}
	}
	toggle := make(chan os.Signal, 1)
	signal.Notify(toggle, syscall.SIGUSR2)
	go func() {
		<-toggle
		pprof.StartCPUProfile(files[0])
		<-toggle
		pprof.StopCPUProfile()
		pprof.WriteHeapProfile(files[1])
		for _, f := range files {
			f.Close()
		}
	}()
}
