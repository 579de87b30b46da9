// Jsongen writes the _gen.go files of package event: for each type that is
// encoded as an object, a method that appends its fields, as its json tags say, and
// one that says how much memory it refers to.
//
// It is run by go generate, in the folder of the package. It reads the source
// and does not import the package, so that it works also where what it made
// before no longer fits the types. What it does not know how to encode is an error.
package main

import (
	"fmt"
	"os"
)

func main() {
	files, err := generate(".")
	if err != nil {
		fail(err)
	}
	for name, src := range files {
		if err := os.WriteFile(name, src, 0o644); err != nil {
			fail(err)
		}
	}
}

func fail(err error) {
	fmt.Fprintln(os.Stderr, "jsongen:", err)
	os.Exit(1)
}
