//go:build profile

package main

import (
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"runtime/pprof"
	"syscall"
)

// A binary built with the tag "profile" writes a profile of its CPU time into the
// directory that SYNSCOPE_PROFILE names, from its start to its SIGTERM. It is for
// make pgo.
func init() {
	dir := os.Getenv("SYNSCOPE_PROFILE")
	if dir == "" {
		return
	}
	f, err := os.Create(filepath.Join(dir, fmt.Sprintf("%d.cpu", os.Getpid())))
	if err == nil {
		err = pprof.StartCPUProfile(f)
	}
	if err != nil {
		panic(err)
	}
	end := make(chan os.Signal, 1)
	signal.Notify(end, syscall.SIGTERM)
	go func() {
		<-end
		pprof.StopCPUProfile()
		f.Close()
	}()
}
