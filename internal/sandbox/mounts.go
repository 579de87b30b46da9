package sandbox

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// replaceFiles makes the files of the spec, in the mount namespace of the
// command only.
func (h *helper) replaceFiles() error {
	// What the host mounts later is seen here too, and nothing that is mounted
	// here is seen there.
	if err := mount("", "/", "", unix.MS_REC|unix.MS_SLAVE, ""); err != nil {
		return err
	}
	for _, dir := range h.order.Empty {
		if err := h.empty(dir); err != nil {
			return err
		}
	}
	if len(h.order.Files) == 0 {
		return nil
	}
	if err := mount("tmpfs", FilesDir, "tmpfs", unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOEXEC, "mode=755,size=64m"); err != nil {
		return err
	}
	for _, f := range h.order.Files {
		path := filepath.Join(FilesDir, f.Name)
		if err := h.write(path, f.Size); err != nil {
			return err
		}
		for _, target := range f.Over {
			if err := h.replace(path, target); err != nil {
				return err
			}
		}
	}
	// Wherever its files are mounted.
	return mount("", FilesDir, "", unix.MS_REMOUNT|unix.MS_RDONLY|unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOEXEC, "")
}

// write writes a file with the next bytes of the spec.
func (h *helper) write(path string, size int64) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if err != nil {
		return err
	}
	_, err = io.CopyN(f, h.spec, size)
	return errors.Join(err, f.Close())
}

// empty has a directory be seen empty. One that is not there is so already.
func (h *helper) empty(dir string) error {
	if info, err := os.Stat(dir); err != nil || !info.IsDir() {
		return nil
	}
	return mount("tmpfs", dir, "tmpfs", unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOEXEC, "mode=755,size=1m")
}

// replace mounts a file over another. If the other is missing because its
// directory is one that is seen empty now, it is made there: resolv.conf is
// often a link to such a one.
func (h *helper) replace(path, target string) error {
	err := unix.Mount(path, target, "", unix.MS_BIND, "")
	if !errors.Is(err, fs.ErrNotExist) {
		return mountError(target, err)
	}
	missing, err := follow(target)
	if err != nil {
		return mountError(target, err)
	}
	for _, dir := range h.order.Empty {
		if resolved, err := filepath.EvalSymlinks(dir); err != nil || !strings.HasPrefix(missing, resolved+"/") {
			continue
		}
		if err := os.MkdirAll(filepath.Dir(missing), 0o755); err != nil {
			return err
		}
		data, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		return os.WriteFile(missing, data, 0o644)
	}
	return mountError(target, fmt.Errorf("%s: %w", missing, fs.ErrNotExist))
}

// follow returns where a path leads, of which the last part may be missing.
func follow(path string) (string, error) {
	for range 40 { // as many links as the kernel follows
		dir, err := filepath.EvalSymlinks(filepath.Dir(path))
		if errors.Is(err, fs.ErrNotExist) {
			return path, nil
		}
		if err != nil {
			return "", err
		}
		path = filepath.Join(dir, filepath.Base(path))
		to, err := os.Readlink(path)
		if err != nil {
			return path, nil // no link, or missing
		}
		if !filepath.IsAbs(to) {
			to = filepath.Join(dir, to)
		}
		path = to
	}
	return "", unix.ELOOP
}

func mount(source, target, kind string, flags uintptr, data string) error {
	return mountError(target, unix.Mount(source, target, kind, flags, data))
}

func mountError(target string, err error) error {
	if err == nil {
		return nil
	}
	return &Error{Op: "mount over " + target, Err: err}
}
