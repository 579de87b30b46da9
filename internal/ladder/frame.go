package ladder

import (
	"cmp"
	"fmt"
	"strings"
	"time"

	"synscope/event"
	"synscope/internal/typeset"
)

// header writes who talks with whom and what came of it, then the columns'
// titles.
func (p *printer) header() {
	id := fmt.Sprintf("#%d", p.conn)
	who := id + "  " + p.whose() + p.peers()
	what, st := p.outcome()
	if typeset.Columns(who)+3+typeset.Columns(what) <= p.Width {
		p.print(line{{who, strong}, {strings.Repeat(" ", p.Width-typeset.Columns(who)-typeset.Columns(what)), plain}, {what, st}})
	} else {
		hang := strings.Repeat(" ", typeset.Columns(id)+2)
		for i, w := range typeset.Wrap(strings.TrimPrefix(who, id), p.Width-typeset.Columns(hang)) {
			p.print(line{{map[bool]string{true: id + "  ", false: hang}[i == 0] + w, strong}})
		}
		for _, w := range typeset.Wrap(what, p.Width-typeset.Columns(hang)) {
			p.print(line{{hang + w, st}})
		}
	}
	p.print(nil)
	title := p.title()
	pad := (p.inner + 2 - typeset.Columns(title)) / 2
	p.print(line{{" " + typeset.PadLeft("ms", timeWidth) + " " + typeset.PadLeft(p.name(event.Client), stateWidth) + " ", strong},
		{typeset.PadRight(strings.Repeat(" ", pad)+title, p.inner+2), faint}, {" server", strong}})
}

// whose says which client an upstream leg was dialled for.
func (p *printer) whose() string {
	switch {
	case !p.upstream():
		return ""
	case p.open.UpstreamOf == 0:
		return "upstream: "
	}
	return fmt.Sprintf("upstream of #%d: ", p.open.UpstreamOf)
}

// peers names the two ends of the connection, as far as they are known.
func (p *printer) peers() string {
	name := ""
	if p.open != nil { // unless the client says another
		name = typeset.Escape(p.open.Name, 64, p.Unicode)
	}
	if p.hello != nil && p.hello.ServerName != "" {
		name = typeset.Escape(p.hello.ServerName, 64, p.Unicode)
	}
	switch {
	case p.open == nil && name == "":
		return "addresses not known"
	case p.open == nil:
		return name
	}
	from, to := p.escape(p.open.Client.String()), p.escape(p.open.Server.String())
	if !p.open.Client.IsValid() { // it could not be dialled
		from = p.name(event.Client)
	}
	if name != "" {
		to = name + " (" + to + ")"
	}
	return from + " > " + to
}

// title stands between the names of the sides: when it was, where it came in,
// and what was done to it.
func (p *printer) title() string {
	ds := []string{p.start.Format("2006-01-02 15:04:05.000")}
	if p.open != nil && p.open.Device != "" {
		ds = append(ds, "on "+typeset.Escape(p.open.Device, 16, false))
	}
	if p.open != nil && p.open.Scenario != "" {
		ds = append(ds, "scenario "+typeset.Escape(p.open.Scenario, 32, false))
	}
	return typeset.Cut(strings.Join(ds, ", "), p.inner)
}

// outcome says in a line what came of the connection.
func (p *printer) outcome() (string, style) {
	switch {
	case p.established != nil:
		return p.session(), good
	case p.failed != nil:
		return "TLS failed after " + typeset.Duration(p.failedAt), failure
	case p.close != nil && p.close.How == "refused":
		return "refused", failure
	case p.close != nil && p.close.How == "dropped":
		return "no answer", failure
	case p.close != nil && !p.close.HandshakeDone && p.upstream():
		return "not connected", failure
	case p.close != nil && !p.close.HandshakeDone:
		return "TCP handshake not completed", failure
	case p.serverHello != nil && p.partly:
		return p.serverHello.Version.String() + ", " + p.serverHello.CipherSuite.String() + ", not all of it decoded", plain
	case p.hello != nil && p.partly:
		return "TLS, not all of it decoded", plain
	case p.hello != nil:
		return "TLS handshake not completed", warning
	case p.notTLS:
		return "TCP, not TLS", plain
	case p.close == nil:
		return "TCP, still open", plain
	}
	if p.close.BytesClient+p.close.BytesServer == 0 {
		return "TCP, no data", plain
	}
	return "TCP, no TLS seen", plain
}

func (p *printer) session() string {
	e := p.established
	ds := []string{e.Version.String(), e.CipherSuite.String()}
	if e.Group != 0 {
		ds = append(ds, e.Group.String())
	}
	if e.ALPN != "" {
		ds = append(ds, typeset.Escape(e.ALPN, 16, p.Unicode))
	}
	if e.HelloRetry {
		ds = append(ds, "hello retry")
	}
	switch e.ClientAuth {
	case "given":
		ds = append(ds, "client certificate")
	case "requested":
		ds = append(ds, "no client certificate")
	}
	if e.ECH {
		ds = append(ds, "ECH")
	}
	if e.Resumed {
		ds = append(ds, "resumed")
	} else {
		ds = append(ds, "not resumed")
	}
	return strings.Join(append(ds, typeset.Duration(p.setUp)), ", ")
}

// footer writes what the whole adds up to; on failure the finding and the hint
// last.
func (p *printer) footer() {
	if p.Explain {
		if ls := p.lessonsAtEnd(); len(ls) > 0 {
			p.gap()
			p.teach(ls)
		}
	}
	p.print(nil)
	p.remark("ended", p.ending())
	if c := p.close; c != nil && (c.HandshakeDone || !p.upstream()) {
		p.remark("carried", p.traffic(c))
		p.bars(c)
	}
	p.remark("hidden", p.legend())
	p.remark("note", p.notes())
	p.finding()
}

const remarkWidth = 11

// remark is a labelled line of the footer, wrapped.
func (p *printer) remark(label, s string) {
	if s == "" {
		return
	}
	for i, w := range typeset.Wrap(s, p.Width-remarkWidth) {
		l := strings.Repeat(" ", remarkWidth)
		if i == 0 {
			l = typeset.PadRight("  "+label, remarkWidth)
		}
		p.print(line{{l, faint}, {w, plain}})
	}
}

func (p *printer) ending() string {
	c := p.close
	if c == nil {
		return "not yet: last event after " + typeset.Duration(p.last)
	}
	if p.upstream() && !c.HandshakeDone {
		return "before it began"
	}
	var s string
	switch c.How {
	case "fin":
		s = "in order, by FIN from both sides"
		switch {
		case p.upstream() && !c.BothFIN:
			s = "by FIN" + p.by(event.Client) + ", which did not wait for that of the server"
		case p.firstFIN != event.NoSide:
			s += ", " + p.the(p.firstFIN) + " first"
		}
	case "rst":
		s = "by RST" + p.by(p.closedBy)
		switch {
		case c.BothFIN:
			s = "by FIN from both sides, then RST" + p.by(p.closedBy) + ", which had closed its socket and takes nothing more"
		case p.upstream() && p.closedBy == event.Server && c.Code == "" && p.failed == nil:
			s += ", which had ended the session before"
		}
	case "refused":
		s = "the SYN was answered with RST: nothing listens on this port, or a policy refuses it"
	case "timeout":
		s = "by timeout: an endpoint gave up waiting"
	case "dropped":
		s = "the SYN was ignored"
	case "shutdown":
		s = "the observer stopped while it was open"
	case "end_of_capture":
		s = "still open at the end of the capture"
	case "evicted":
		s = "not followed further: no room, or silent for too long"
	default:
		s = p.escape(c.How)
	}
	if c.TLSCutShort {
		s += ", without close_notify: nothing proves that all data arrived"
	}
	return s + "; " + typeset.Duration(c.Duration) + " in all"
}

func (p *printer) by(s event.Side) string {
	if s == event.NoSide {
		return ""
	}
	return " from " + p.the(s)
}

func (p *printer) traffic(c *event.Close) string {
	s := fmt.Sprintf("%s %s, server %s, %s", p.name(event.Client), size(c.BytesClient), size(c.BytesServer), typeset.Count(c.SegmentsSeen, "segment"))
	if p.upstream() {
		s += " by the kernel's count"
	}
	if c.RTT > 0 {
		s += ", round trip " + typeset.Duration(c.RTT)
	}
	if c.Retransmits > 0 {
		s += ", " + typeset.Count(c.Retransmits, "retransmission")
	}
	if c.OutOfOrder > 0 {
		s += ", " + typeset.Thousands(c.OutOfOrder) + " out of order"
	}
	return s
}

// bars shows where the time of the handshakes went.
func (p *printer) bars(c *event.Close) {
	parts := []struct {
		name string
		d    time.Duration
	}{
		{"TCP handshake", c.TCPHandshake},
		{"TLS, waiting for client", c.WaitingClient},
		{"TLS, waiting for server", c.WaitingServer},
		{"  of that private key", c.Signing},
	}
	if p.upstream() {
		parts[0].name, parts[1].name = "dial", "TLS, waiting for us"
	}
	if c.WaitingClient+c.WaitingServer == 0 {
		parts[1].name, parts[1].d = "TLS handshake", c.TLSHandshake
	}
	var total time.Duration
	shown := 0
	for _, x := range parts[:3] {
		if x.d > 0 {
			total += x.d
			shown++
		}
	}
	label := "  time"
	for _, x := range parts {
		if x.d <= 0 {
			continue
		}
		room := p.Width - remarkWidth - 36
		n := min(max(int(float64(room)*float64(x.d)/float64(total)), 1), room)
		if shown == 1 {
			n = 0 // nothing to compare it with
		}
		p.print(line{{typeset.PadRight(label, remarkWidth), faint}, {typeset.PadRight(x.name, 24) + typeset.PadLeft(typeset.Duration(x.d), 10) + "  ", plain},
			{strings.Repeat(p.bar, n), faint}})
		label = ""
	}
}

// notes counts what was not drawn and explains the marks that were used.
func (p *printer) notes() string {
	var ds []string
	if p.hidden > 0 {
		ds = append(ds, typeset.Count(p.hidden, "confirmation")+" by crypto/tls not drawn")
	}
	if p.ignored > 0 {
		ds = append(ds, typeset.Count(p.ignored, "event")+" of an unknown kind or side not drawn")
	}
	if p.offloaded {
		ds = append(ds, "\"as n\": a super-packet, n segments on a real wire")
	}
	if p.wireOnly {
		ds = append(ds, "states with ? are implied by the segments, the endpoint itself did not report them")
	}
	return strings.Join(ds, "; ")
}

// legend explains the brackets that were used.
func (p *printer) legend() string {
	var ds []string
	for _, x := range []struct {
		epoch event.Epoch
		what  string
	}{
		{event.EpochEarly, "(..) early keys"},
		{event.EpochHandshake, "{..} handshake keys"},
		{event.EpochEncrypted, "{..} the keys of the session"},
		{event.EpochApplication, "[..] application keys"},
	} {
		if p.epochs[x.epoch] {
			ds = append(ds, x.what)
		}
	}
	if len(ds) == 0 {
		return ""
	}
	return strings.Join(ds, ", ") + ": who sees only the packets cannot read these"
}

// maxFinding bounds, in columns, a cause or a hint. They quote what a peer chose,
// bounded, in a sentence of ours.
const maxFinding = 640

// finding writes why the handshake failed, or what else went wrong.
func (p *printer) finding() {
	write := func(label, s string, st style) {
		for _, w := range typeset.Wrap(typeset.Escape(s, maxFinding, p.Unicode), p.Width-remarkWidth) {
			p.print(line{{typeset.PadRight(label, remarkWidth), st}, {w, st}})
			label = ""
		}
	}
	hint := ""
	switch f, c := p.failed, p.close; {
	case f != nil:
		p.print(nil)
		if f.Error != "" && !strings.Contains(f.Cause, f.Error) {
			write("  error", f.Error, faint)
		}
		write("! failed", cmp.Or(f.Cause, "the handshake will not complete"), failure)
		hint = f.Hint
	case c != nil && c.Cause != "":
		p.print(nil)
		write("! cause", c.Cause, warning)
		hint = c.Hint
	}
	if hint != "" {
		write("  hint", hint, strong)
	}
}
