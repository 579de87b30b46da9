package config

import (
	"fmt"
	"io"
	"os"

	"github.com/spf13/pflag"
)

// MaxFileSize is the size of the largest configuration file, in bytes: some
// hundred times what a large one needs.
const MaxFileSize = 1 << 20

// Load reads the file at path over the defaults and validates the result. An
// error about what the file says is an [Errors].
func Load(path string) (*Config, error) {
	return LoadWithFlags(path, nil)
}

// LoadWithFlags reads the file at path over the defaults, or takes the defaults
// if path is empty, sets what was set on the flags, which [BindFlags] defined,
// and validates the result. Flags may be nil. An error about what the file or the
// flags say is an [Errors].
func LoadWithFlags(path string, fs *pflag.FlagSet) (*Config, error) {
	c := Default()
	if path != "" {
		data, err := readFile(path)
		if err != nil {
			return nil, fmt.Errorf("configuration: %w", err)
		}
		if c, err = Parse(path, data); err != nil {
			return nil, err
		}
	}
	if fs != nil {
		Override(c, fs)
	}
	if err := c.Validate(); err != nil {
		return nil, err
	}
	return c, nil
}

// readFile reads a file of at most MaxFileSize bytes; Parse tells of one byte
// more.
func readFile(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return io.ReadAll(io.LimitReader(f, MaxFileSize+1))
}
