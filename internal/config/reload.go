package config

import (
	"reflect"
	"strings"
)

// A RestartError says that a new configuration changes settings that are used
// only once, before privileges are dropped.
type RestartError struct {
	Keys []string // in the order of the documentation
}

func (e *RestartError) Error() string {
	return "these keys change at a restart only: " + strings.Join(e.Keys, ", ")
}

// Reloadable returns a [*RestartError] if next, which has been validated, differs
// from c in a setting that cannot change while the process runs. All others can,
// and so can the rules.
func (c *Config) Reloadable(next *Config) error {
	var keys []string
	for _, s := range settings {
		if s.restart && !reflect.DeepEqual(s.value(c).Interface(), s.value(next).Interface()) {
			keys = append(keys, s.key)
		}
	}
	if keys != nil {
		return &RestartError{Keys: keys}
	}
	return nil
}
