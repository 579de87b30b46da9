package config

import (
	"reflect"
	"strings"

	"github.com/spf13/pflag"
)

// BindFlags defines a flag for every setting, each of which sets its value in c
// when it is parsed. The defaults that the flags show are the values in c. To
// have a file under the flags, see [LoadWithFlags].
//
// A flag of a list takes its entries separated by commas, or is repeated; the
// first replaces the default, and an empty one leaves no entry.
func BindFlags(fs *pflag.FlagSet, c *Config) {
	for i := range settings {
		s := &settings[i]
		f := fs.VarPF(&flagValue{setting: s, v: s.value(c)}, s.flag, "", s.usage)
		if s.value(c).Kind() == reflect.Bool {
			f.NoOptDefVal = "true"
		}
	}
}

// Override sets in c the values of those flags of fs that were set. Flags that
// [BindFlags] did not define are left alone.
func Override(c *Config, fs *pflag.FlagSet) {
	if c.origins == nil {
		c.origins = map[string]origin{}
	}
	fs.Visit(func(f *pflag.Flag) {
		v, ok := f.Value.(*flagValue)
		if !ok {
			return
		}
		v.setting.value(c).Set(v.v)
		// The entries of a list came from the flag, too.
		for key := range c.origins {
			if strings.HasPrefix(key, v.setting.key+"[") {
				delete(c.origins, key)
			}
		}
		c.origins[v.setting.key] = origin{flag: "--" + f.Name}
	})
}

// A flagValue is the value of a setting as a flag. It is a [pflag.Value].
type flagValue struct {
	setting *setting
	v       reflect.Value // of the Config that was bound
	set     bool          // a list was begun
}

// Set parses the argument of the flag.
func (f *flagValue) Set(arg string) error {
	switch f.v.Kind() {
	case reflect.Slice:
		return f.add(arg)
	case reflect.Bool:
		var b bool
		err := setText(&b, arg)
		if err == nil {
			f.v.SetBool(b != f.setting.negated)
		}
		return err
	}
	return setText(f.v.Addr().Interface(), arg)
}

// add adds the entries of arg to a list.
func (f *flagValue) add(arg string) error {
	list := reflect.MakeSlice(f.v.Type(), 0, 1)
	if f.set {
		list = f.v
	}
	for item := range strings.SplitSeq(arg, ",") {
		if arg == "" {
			break
		}
		v := reflect.New(f.v.Type().Elem())
		if err := setText(v.Interface(), strings.TrimSpace(item)); err != nil {
			return err
		}
		list = reflect.Append(list, v.Elem())
	}
	f.v.Set(list)
	f.set = true
	return nil
}

// String returns the value as Set takes it.
func (f *flagValue) String() string {
	if f.setting == nil {
		return "" // pflag asks the zero value
	}
	if f.setting.negated {
		return text(reflect.ValueOf(!f.v.Bool()))
	}
	return text(f.v)
}

// Type names the type of the value, for the usage text and for completion.
func (f *flagValue) Type() string {
	switch f.v.Kind() {
	case reflect.Slice:
		return "list"
	case reflect.Bool:
		return "bool"
	}
	return "value"
}
