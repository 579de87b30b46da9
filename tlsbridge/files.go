package tlsbridge

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
)

// Modes of the files in the state directory.
const (
	privateMode fs.FileMode = 0o600 // keys
	publicMode  fs.FileMode = 0o644 // the root certificate
)

// maxFile bounds what is read of a file: the largest of ours has a few KB.
const maxFile = 64 << 10

// readPrivate reads a file that only its owner may read or write.
func readPrivate(path string) ([]byte, error) {
	return readChecked(path, 0o077, "others may read it; if nobody did, run chmod 600 "+path+"; else move it away to have a new one made")
}

// readPublic reads a file that only its owner may write.
func readPublic(path string) ([]byte, error) {
	return readChecked(path, 0o022, "others may change it; check it, then run chmod 644 "+path)
}

func readChecked(path string, forbidden fs.FileMode, hint string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("tlsbridge: %w", err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, fmt.Errorf("tlsbridge: %w", err)
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("tlsbridge: %s is not a regular file", path)
	}
	if mode := info.Mode().Perm(); mode&forbidden != 0 {
		return nil, fmt.Errorf("tlsbridge: %s has mode %#o: %s", path, mode, hint)
	}
	b, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err != nil {
		return nil, fmt.Errorf("tlsbridge: reading %s: %w", path, err)
	}
	if len(b) > maxFile {
		return nil, fmt.Errorf("tlsbridge: %s is longer than %d bytes: it is no file of this program", path, maxFile)
	}
	return b, nil
}

// writeExclusive creates the file at path, whole or not at all. It fails with
// fs.ErrExist if there is one: link(2), unlike rename(2), does not replace.
func writeExclusive(path string, data []byte, mode fs.FileMode) error {
	return publish(path, data, mode, func(temporary string) error { return os.Link(temporary, path) })
}

// replace writes the file at path, the old or the new content at any moment.
func replace(path string, data []byte, mode fs.FileMode) error {
	return publish(path, data, mode, func(temporary string) error { return os.Rename(temporary, path) })
}

// publish writes data to a temporary file beside path, created exclusively with
// mode 0600, makes sure that it is on the disk, and lets commit give it its name.
func publish(path string, data []byte, mode fs.FileMode, commit func(temporary string) error) (err error) {
	defer func() {
		if err != nil {
			err = fmt.Errorf("tlsbridge: creating %s: %w", path, err)
		}
	}()
	dir := filepath.Dir(path)
	f, err := os.CreateTemp(dir, "."+filepath.Base(path)+".*")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name()) // fails after a rename, as it should
	_, err = f.Write(data)
	if err := errors.Join(err, f.Chmod(mode), f.Sync(), f.Close()); err != nil {
		return err
	}
	if err := commit(f.Name()); err != nil {
		return err
	}
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
