package main

import (
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"synscope/event"
	"synscope/internal/control"
)

var tableTime = time.Unix(1000, 0)

// tableRows are connections of every sort.
func tableRows() []event.Summary {
	client, server := netip.MustParseAddrPort("198.18.0.1:40000"), netip.MustParseAddrPort("198.18.3.4:443")
	return []event.Summary{
		{Conn: 9, Client: client, Server: server, Opened: tableTime.Add(-75 * time.Second), Open: true,
			TCP: event.TCPSummary{ClientState: event.StateEstablished, ServerState: event.StateSynReceived},
			TLS: event.TLSSummary{State: event.TLSHandshake, ServerName: "shop\x1b[31m.example"}},
		{Conn: 10, Client: client, Server: server, Cause: "client refused\nthe certificate", Lost: 7,
			TCP: event.TCPSummary{How: "rst", Duration: 3 * time.Millisecond},
			TLS: event.TLSSummary{State: event.TLSBroken, Version: "TLS 1.3", CipherSuite: "TLS_AES_128_GCM_SHA256"}},
		{Conn: 11, Client: client, Server: server, Alert: "user_canceled", AlertFrom: event.Client,
			TCP: event.TCPSummary{How: "fin", Duration: 2 * time.Hour}, TLS: event.TLSSummary{State: event.TLSPlain}},
	}
}

func wantLinesOf(t *testing.T, got []string, want string) {
	t.Helper()
	if diff := cmp.Diff(strings.TrimPrefix(want, "\n"), strings.Join(got, "\n")+"\n"); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// Columns are aligned, what is not known is a dash, and what a peer sent is
// escaped.
func TestTable(t *testing.T) {
	wantLinesOf(t, table(tableRows(), tableTime, 0), `
ID  STATE         CLIENT            SERVER          NAME                  VERSION    SUITE                   DURATION  CAUSE
9   SYN-RECEIVED  198.18.0.1:40000  198.18.3.4:443  shop\x1b[31m.example  handshake  -                       1m15s     -
10  rst           198.18.0.1:40000  198.18.3.4:443  -                     TLS 1.3    TLS_AES_128_GCM_SHA256  3.00ms    client refused\x0athe certificate; 7 lost
11  fin           198.18.0.1:40000  198.18.3.4:443  -                     plain      -                       2h00m     alert user_canceled from client
`)
	wantLinesOf(t, table(nil, tableTime, 0), `
ID  STATE  CLIENT  SERVER  NAME  VERSION  SUITE  DURATION  CAUSE
`)
}

// Where there is no room columns give way to the cause, which is then cut.
func TestTableNarrow(t *testing.T) {
	wantLinesOf(t, table(tableRows(), tableTime, 80), `
ID  STATE         CLIENT            SERVER          DURATION  CAUSE
9   SYN-RECEIVED  198.18.0.1:40000  198.18.3.4:443  1m15s     -
10  rst           198.18.0.1:40000  198.18.3.4:443  3.00ms    client refused\x..
11  fin           198.18.0.1:40000  198.18.3.4:443  2h00m     alert user_cance..
`)
	for width := 1; width < 200; width++ {
		for _, line := range table(tableRows(), tableTime, width) {
			if len(line) > max(width, 2) {
				t.Errorf("in %d columns a line has %d: %s", width, len(line), line)
			}
		}
	}
}

// The screen has the newest first and fits any window.
func TestScreen(t *testing.T) {
	cs := &control.Connections{Open: 1, Ended: 2, Dropped: 5, Connections: tableRows()}
	got := screen(cs, &control.Status{Device: "syn0", PID: 7}, window{60, 24}, tableTime, true)
	want := home + "synscope on syn0, process 7: 1 open, 2 ended, 5 no longer ke" + clearRight + "\r\n" +
		bold + "ID  STATE         CLIENT            DURATION  CAUSE" + reset + clearRight + "\r\n" +
		"11  fin           198.18.0.1:40000  2h00m     alert user_c.." + clearRight + "\r\n" +
		bold + "10  rst           198.18.0.1:40000  3.00ms    client refus.." + reset + clearRight + "\r\n" +
		"9   SYN-RECEIVED  198.18.0.1:40000  1m15s     -" + clearRight + "\r\n" + clearBelow
	if got != want {
		t.Errorf("got  %q\nwant %q", got, want)
	}
	if got := screen(cs, &control.Status{}, window{0, 0}, tableTime, false); strings.Contains(got, bold) {
		t.Errorf("emphasis without colour: %q", got)
	}
}
