package tcptrack

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"gvisor.dev/gvisor/pkg/tcpip/header"

	"synscope/event"
)

// told returns the options as an event has them.
func told(o *Options) event.TCPOptions {
	var e segmentEvent
	o.tell(&e)
	return e.Options
}

func TestOptions(t *testing.T) {
	shift := func(n uint8) *uint8 { return &n }
	for _, tt := range []struct {
		name string
		b    []byte
		want event.TCPOptions
	}{
		{"none", nil, event.TCPOptions{}},
		{"MSS", []byte{2, 4, 0x05, 0xb4}, event.TCPOptions{MSS: 1460}},
		{"window scale", []byte{3, 3, 7}, event.TCPOptions{WindowScale: shift(7)}},
		{"window scale 0", []byte{1, 3, 3, 0}, event.TCPOptions{WindowScale: shift(0)}},
		{"SACK permitted", []byte{4, 2}, event.TCPOptions{SACKPermitted: true}},
		{"SACK", []byte{1, 1, 5, 18, 0, 0, 0, 1, 0, 0, 0, 2, 0xff, 0, 0, 0, 0xff, 0, 0, 9},
			event.TCPOptions{SACK: []event.SACKBlock{{Left: 1, Right: 2}, {Left: 0xff000000, Right: 0xff000009}}}},
		{"timestamps", []byte{8, 10, 0, 0, 1, 0, 0xff, 0xff, 0xff, 0xff},
			event.TCPOptions{Timestamps: &event.Timestamps{Val: 256, Ecr: 0xffffffff}}},
		{"fast open, asking for a cookie", []byte{34, 2}, event.TCPOptions{FastOpen: true}},
		{"fast open", []byte{34, 10, 1, 2, 3, 4, 5, 6, 7, 8}, event.TCPOptions{FastOpen: true}},
		{"unknown", []byte{253, 4, 1, 2, 30, 3, 0}, event.TCPOptions{Unknown: []uint8{253, 30}}},
		{"end of list", []byte{4, 2, 0, 2, 4, 1, 1}, event.TCPOptions{SACKPermitted: true}},
		{"no-operation only", []byte{1, 1, 1, 1}, event.TCPOptions{}},

		{"MSS of 3 bytes", []byte{2, 3, 5, 4, 2}, event.TCPOptions{Malformed: true, SACKPermitted: true}},
		{"window scale of 4 bytes", []byte{3, 4, 5, 4}, event.TCPOptions{Malformed: true}},
		{"SACK permitted of 3 bytes", []byte{4, 3, 0}, event.TCPOptions{Malformed: true}},
		{"SACK without block", []byte{5, 2}, event.TCPOptions{Malformed: true}},
		{"SACK of half a block", []byte{5, 6, 1, 2, 3, 4}, event.TCPOptions{Malformed: true}},
		{"timestamps of one", []byte{8, 6, 1, 2, 3, 4}, event.TCPOptions{Malformed: true}},
		{"no length", []byte{4, 2, 2}, event.TCPOptions{Malformed: true, SACKPermitted: true}},
		{"length 0", []byte{2, 0, 4, 2}, event.TCPOptions{Malformed: true}},
		{"length 1", []byte{2, 1, 4, 2}, event.TCPOptions{Malformed: true}},
		{"length beyond the header", []byte{4, 2, 2, 4, 5}, event.TCPOptions{Malformed: true, SACKPermitted: true}},
		{"unknown, cut", []byte{253, 40, 1}, event.TCPOptions{Malformed: true}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var o Options
			o.parse(tt.b)
			if diff := cmp.Diff(tt.want, told(&o)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// As many unknown options as there is room for.
func TestUnknownOptionsFillTheHeader(t *testing.T) {
	var b []byte
	for len(b) < maxOptionSpace {
		b = append(b, 200, 2)
	}
	var o Options
	o.parse(b)
	if got := told(&o); len(got.Unknown) != 20 || got.Malformed {
		t.Errorf("%+v", got)
	}
}

// The options that another implementation writes.
func TestOptionsOfNetstack(t *testing.T) {
	b := make([]byte, maxOptionSpace)
	n := header.EncodeMSSOption(1220, b)
	n += header.EncodeTSOption(7, 8, b[n:])
	n += header.EncodeSACKPermittedOption(b[n:])
	n += header.EncodeWSOption(9, b[n:])
	n += header.EncodeSACKBlocks([]header.SACKBlock{{Start: 5, End: 6}}, b[n:])
	n += header.AddTCPOptionPadding(b, n)
	var o Options
	o.parse(b[:n])
	shift := uint8(9)
	want := event.TCPOptions{
		MSS: 1220, WindowScale: &shift, SACKPermitted: true,
		Timestamps: &event.Timestamps{Val: 7, Ecr: 8}, SACK: []event.SACKBlock{{Left: 5, Right: 6}},
	}
	if diff := cmp.Diff(want, told(&o)); diff != "" {
		t.Error(diff)
	}
}
