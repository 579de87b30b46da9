package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/pflag"
	"golang.org/x/sys/unix"

	"synscope/internal/expect"
	"synscope/internal/junit"
	"synscope/internal/ladder"
)

// expectations are what a run is held against, and the report of it.
type expectations struct {
	exprs  []string
	report string // a file, "" for none

	recorder *expect.Recorder
	file     *os.File // of report
	began    time.Time
	results  []expect.Result // nil if there was no command
}

func (x *expectations) flags(f *pflag.FlagSet) {
	f.StringArrayVar(&x.exprs, "expect", nil, "exit with 3 unless this CEL `EXPRESSION` is true of each connection, or of conns and timeline (repeatable)")
	f.StringVar(&x.report, "junit", "", "write what was expected, and what of it was met, to this `FILE` as JUnit XML")
}

// compile compiles the expressions.
func (x *expectations) compile() error {
	var err error
	x.recorder, err = expect.New(x.exprs, x.report != "")
	var mistake *expect.Error
	if errors.As(err, &mistake) && len(x.exprs) > 1 {
		return fmt.Errorf("--expect %s: %w", mistake.Expr, err)
	}
	if err != nil {
		return fmt.Errorf("--expect: %w", err)
	}
	return nil
}

// wanted reports whether the run is to be recorded.
func (x *expectations) wanted() bool { return len(x.exprs) > 0 || x.report != "" }

// open opens the report, before anything is started.
func (x *expectations) open() error {
	x.began = time.Now()
	if x.report == "" {
		return nil
	}
	f, err := os.OpenFile(x.report, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o640)
	if err != nil {
		return hinted{fmt.Errorf("junit %s: %w", x.report, reason(err)), "give a file in a directory that you can write to"}
	}
	x.file = f
	return nil
}

// decide holds the run, which is over, against the expectations.
func (x *expectations) decide() { x.results = x.recorder.Results() }

// unmet returns the expectations that were not met as an error, a line each.
func (x *expectations) unmet() error {
	var errs []error
	for _, r := range x.results {
		if r.Failure != "" {
			errs = append(errs, errors.New(r.Failure))
		}
	}
	return errors.Join(errs...)
}

// close writes the report, of a command that ended so, or of an error that kept
// it from being run.
func (x *expectations) close(args []string, status syscall.WaitStatus, failed error) error {
	if x.file == nil {
		return nil
	}
	took := time.Since(x.began)
	command := strings.Join(args, " ")
	own := junit.Case{Class: "synscope.run", Name: command, Duration: took}
	switch {
	case failed != nil:
		own.Error = failed.Error()
	case status.Signaled():
		own.Failure = "ended by " + unix.SignalName(status.Signal())
	case status.ExitStatus() != 0:
		own.Failure = fmt.Sprintf("exit code %d", status.ExitStatus())
	}
	suite := junit.Suite{Name: "synscope run -- " + command, Start: x.began, Duration: took, Cases: []junit.Case{own}}
	if x.results == nil {
		for _, expr := range x.exprs {
			suite.Cases = append(suite.Cases, junit.Case{Class: "synscope.expect", Name: expr, Skipped: "the command did not run"})
		}
	}
	for _, r := range x.results {
		suite.Cases = append(suite.Cases, junit.Case{Class: "synscope.expect", Name: r.Expr, Failure: r.Failure, Output: x.ladders(r)})
	}
	err := junit.Write(x.file, suite)
	if err = errors.Join(err, x.file.Close()); err != nil {
		return fmt.Errorf("junit %s: %w", x.report, reason(err))
	}
	return nil
}

// ladders draws the connections that a failure names.
func (x *expectations) ladders(r expect.Result) string {
	var b bytes.Buffer
	for _, id := range r.Conns {
		ladder.Render(&b, x.recorder.Events(id), ladder.Options{Unicode: true}) // a buffer takes all
	}
	return b.String()
}
