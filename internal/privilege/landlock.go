package privilege

import (
	"errors"
	"fmt"
	"os"
	"slices"

	"github.com/landlock-lsm/go-landlock/landlock"
	ll "github.com/landlock-lsm/go-landlock/landlock/syscall"
	"golang.org/x/sys/unix"
)

// landlockABI is the version of the Landlock ABI whose file system rights are
// restricted, in as far as the kernel knows them: 5 is the first that has device
// ioctls, and no later one up to 8 adds a right. A fixed version keeps a newer
// library or kernel from taking away what the process needs.
const landlockABI = 5

// The rights below a path of the plan. Rights of directories cannot be given on
// a file.
const (
	readFile  landlock.AccessFSSet = ll.AccessFSReadFile
	readDir   landlock.AccessFSSet = readFile | ll.AccessFSReadDir
	writeFile landlock.AccessFSSet = readFile | ll.AccessFSWriteFile | ll.AccessFSTruncate
	writeDir  landlock.AccessFSSet = readDir | writeFile | ll.AccessFSMakeReg | ll.AccessFSMakeDir |
		ll.AccessFSMakeSock | ll.AccessFSRemoveFile | ll.AccessFSRemoveDir
)

// restrictFiles leaves the process no access to files but those of the plan. It
// returns the version of Landlock that is enforced, and the paths that the process
// cannot use as the plan says. It runs as the new identity.
func restrictFiles(p Plan) (abi int, unusable []string, err error) {
	var rules []landlock.Rule
	add := func(path string, mode uint32, file, dir landlock.AccessFSSet) {
		info, err := os.Stat(path)
		if err != nil {
			unusable = append(unusable, path)
			return
		}
		access := file
		if info.IsDir() {
			access, mode = dir, mode|unix.X_OK
		}
		if unix.Access(path, mode) != nil {
			unusable = append(unusable, path)
		}
		rules = append(rules, landlock.PathAccess(access, path))
	}
	for _, path := range p.ReadPaths {
		add(path, unix.R_OK, readFile, readDir)
	}
	for _, path := range p.WritePaths {
		add(path, unix.R_OK|unix.W_OK, writeFile, writeDir)
	}
	for _, path := range p.RemoveIn {
		rules = append(rules, landlock.PathAccess(ll.AccessFSRemoveFile, path))
	}
	if err := landlock.V5.BestEffort().RestrictPaths(rules...); err != nil {
		return 0, unusable, fmt.Errorf("restricting files: %w", err)
	}
	kernel, err := ll.LandlockGetABIVersion()
	if err != nil {
		return 0, unusable, nil // not built into the kernel, or off
	}
	return min(kernel, landlockABI), unusable, verifyFiles(p)
}

// verifyFiles opens a file that the plan does not have.
func verifyFiles(p Plan) error {
	if slices.Contains(p.ReadPaths, "/") || slices.Contains(p.WritePaths, "/") {
		return nil
	}
	root, err := os.Open("/")
	if err == nil {
		root.Close()
		err = errors.New("/ can be opened, although Landlock is on")
	} else if errors.Is(err, unix.EACCES) {
		return nil
	}
	return fmt.Errorf("verifying the restriction of files: %w", err)
}
