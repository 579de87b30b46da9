// Package config is the configuration of synscope serve: one YAML file whose
// values the flags of the command override.
//
// A setting is one value with a key in the file (tun.mtu), a flag (--mtu) and a
// default. Every setting stands once in the table of setting.go; a value is
// parsed by the same code whether it comes from the file or from a flag. The
// rules, services and accept, are lists and stand in the file only.
//
// The command calls [BindFlags] before it parses its arguments and
// [LoadWithFlags] after, and again for each SIGHUP; [Config.Reloadable] then
// says whether the new configuration can be taken without a restart.
// [Config.Match] and [Config.Policy] are what the data path asks.
//
// An error says where it is: file:line:col, or the flag. See [Error].
//
// The file is YAML 1.2 as github.com/goccy/go-yaml parses it, less what a
// configuration does not need and an attacker could use: anchors, aliases, tags,
// directives and second documents are refused, and so is a file of more than
// [MaxFileSize] bytes. The values are not decoded by that package, because its
// decoder takes 1500.7 for the integer 1500, stops at the first error and names
// Go types in it; the walk in decode.go is strict.
//
// The package opens no file but the configuration: whether a path can be
// written, a user exists, or a service is known is for those who use them.
package config
