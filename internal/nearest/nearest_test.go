package nearest

import (
	"strings"
	"testing"
)

func TestSuggest(t *testing.T) {
	names := []string{"events", "event", "server_name", "mtu", "x"}
	for _, tt := range []struct{ name, want string }{
		{"evnt", `did you mean "event"?`},
		{"evetns", `did you mean "events"?`}, // two swapped
		{"Server-Name", `did you mean "server_name"?`},
		{"mut", `did you mean "mtu"?`},
		{"y", `did you mean "x"?`},
		{"capture", ""},
		{strings.Repeat("event", 100), ""},
	} {
		if got := Suggest(tt.name, names); got != tt.want {
			t.Errorf("Suggest(%q) = %q, want %q", tt.name, got, tt.want)
		}
	}
}
