// Package junit writes test reports in the XML of JUnit, as the Surefire plugin
// of Maven began it and as CI systems read it. There is no standard; what is
// written is what all of them know: a suite, its cases, and of each whether it
// passed, failed, erred or was skipped.
//
// Texts may be of any bytes: what XML cannot hold is written as U+FFFD.
package junit

import (
	"encoding/xml"
	"fmt"
	"io"
	"time"
)

// A Suite is the cases of one run.
type Suite struct {
	Name     string
	Start    time.Time
	Duration time.Duration
	Cases    []Case
}

// A Case is one test. At most one of Failure, Error and Skipped is set; if none
// is, it passed.
type Case struct {
	Class, Name string
	Duration    time.Duration
	Failure     string // what was not as it should be
	Error       string // what kept the test from being made
	Skipped     string // why it was not made
	Output      string // what helps to understand a failure
}

// Write writes a report of one suite.
func Write(w io.Writer, s Suite) error {
	suite := xmlSuite{
		Name: s.Name, Tests: len(s.Cases), Time: seconds(s.Duration),
		// Without a zone: so it is read by all.
		Timestamp: s.Start.UTC().Format("2006-01-02T15:04:05"),
	}
	for _, c := range s.Cases {
		x := xmlCase{
			Class: c.Class, Name: c.Name, Time: seconds(c.Duration), Output: c.Output,
			Failure: outcome(c.Failure), Error: outcome(c.Error), Skipped: outcome(c.Skipped),
		}
		suite.Failures += count(x.Failure)
		suite.Errors += count(x.Error)
		suite.Skipped += count(x.Skipped)
		suite.Cases = append(suite.Cases, x)
	}
	all := xmlSuites{
		Tests: suite.Tests, Failures: suite.Failures, Errors: suite.Errors, Time: suite.Time,
		Suites: []xmlSuite{suite},
	}
	b, err := xml.MarshalIndent(all, "", "  ")
	if err != nil {
		return err
	}
	_, err = w.Write(append(append([]byte(xml.Header), b...), '\n'))
	return err
}

func seconds(d time.Duration) string { return fmt.Sprintf("%.3f", d.Seconds()) }

func outcome(text string) *xmlOutcome {
	if text == "" {
		return nil
	}
	return &xmlOutcome{text, text}
}

func count(o *xmlOutcome) int {
	if o == nil {
		return 0
	}
	return 1
}

// The elements, with their children in the order in which schemas want them.
type (
	xmlSuites struct {
		XMLName  xml.Name   `xml:"testsuites"`
		Tests    int        `xml:"tests,attr"`
		Failures int        `xml:"failures,attr"`
		Errors   int        `xml:"errors,attr"`
		Time     string     `xml:"time,attr"`
		Suites   []xmlSuite `xml:"testsuite"`
	}
	xmlSuite struct {
		Name      string    `xml:"name,attr"`
		Tests     int       `xml:"tests,attr"`
		Failures  int       `xml:"failures,attr"`
		Errors    int       `xml:"errors,attr"`
		Skipped   int       `xml:"skipped,attr"`
		Time      string    `xml:"time,attr"`
		Timestamp string    `xml:"timestamp,attr"`
		Cases     []xmlCase `xml:"testcase"`
	}
	xmlCase struct {
		Class   string      `xml:"classname,attr"`
		Name    string      `xml:"name,attr"`
		Time    string      `xml:"time,attr"`
		Skipped *xmlOutcome `xml:"skipped"`
		Error   *xmlOutcome `xml:"error"`
		Failure *xmlOutcome `xml:"failure"`
		Output  string      `xml:"system-out,omitempty"`
	}
	xmlOutcome struct {
		Message string `xml:"message,attr"`
		Text    string `xml:",chardata"`
	}
)
