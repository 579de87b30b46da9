package main

import (
	"bytes"
	"fmt"
	"html"
	"math"
)

// The measures of the plot, in pixels.
const (
	plotWidth  = 880
	plotLeft   = 130 // of the axis
	plotRight  = 660 // of its end
	plotTop    = 96
	barHeight  = 11
	barStep    = 15
	groupGap   = 10
	nameHeight = 18
	axisEnd    = 2.0 // the ratio at plotRight; a bar that is longer is cut, its number is not
)

// colours are those of the bars, by contestant.
var colours = map[string]string{
	"off": "#9ecae1", "json": "#2171b5", "pcap": "#08306b", "nginx": "#bdbdbd", "haproxy": "#969696", "openssl": "#737373",
	"run": "#2171b5", "sslsplit": "#bdbdbd", "mitmdump": "#969696",
}

// charted is the metric that a row is plotted by: that of its target over the
// kernel, if there is one.
func charted(rows []*row) metric {
	for _, r := range rows {
		for _, v := range r.Verdicts {
			if v.Over == kernelName {
				return v.Metric
			}
		}
	}
	return mainMetric(rows[0].unit)
}

// plot draws the ratios to the kernel as bars, with their spread over the rounds
// as a line, and the targets as marks.
func (rep *report) plot() []byte {
	var body bytes.Buffer
	y := plotTop
	for _, rows := range byMeasure(rep.Rows) {
		m := charted(rows)
		var bars bytes.Buffer
		at := y + nameHeight
		for _, r := range rows {
			q, ok := r.Ratios[m]
			if r.Contestant == kernelName || !ok {
				continue
			}
			drawBar(&bars, at, r, m, q)
			at += barStep
		}
		if bars.Len() == 0 {
			continue
		}
		fmt.Fprintf(&body, `<text x="12" y="%d" class="measure">%s</text>`+"\n", y+nameHeight-5, html.EscapeString(rows[0].Measure+": "+describe(m, rows)))
		body.Write(bars.Bytes())
		y = at + groupGap
	}
	height := y + 26

	var b bytes.Buffer
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" width="%d" height="%d" viewBox="0 0 %[1]d %[2]d" role="img" aria-labelledby="title desc" font-family="sans-serif" font-size="11">
<title id="title">synscope beside the kernel</title>
<desc id="desc">%s</desc>
<style>.measure{font-weight:bold}.spread{stroke:#d94801;stroke-width:1.5}.target{stroke:#000;stroke-width:2}.halo{stroke:#fff;stroke-width:5}.grid{stroke:#ddd}.one{stroke:#000;stroke-dasharray:3 2}</style>
<rect width="%[1]d" height="%[2]d" fill="#fff"/>
`, plotWidth, height, html.EscapeString(rep.describePlot()))
	fmt.Fprintf(&b, `<text x="12" y="24" font-size="16" font-weight="bold">synscope beside the kernel</text>`+"\n")
	for i, line := range rep.caption() {
		fmt.Fprintf(&b, `<text x="12" y="%d" fill="#444">%s</text>`+"\n", 42+i*14, html.EscapeString(line))
	}
	for tick := 0.0; tick <= axisEnd; tick += 0.25 {
		class := "grid"
		if tick == 1 {
			class = "one"
		}
		x := axisX(tick)
		fmt.Fprintf(&b, `<line x1="%.1f" y1="%d" x2="%.1f" y2="%d" class="%s"/><text x="%.1f" y="%d" text-anchor="middle" fill="#444">%g</text>`+"\n",
			x, plotTop, x, y, class, x, height-10, tick)
	}
	b.Write(body.Bytes())
	b.WriteString("</svg>\n")
	return b.Bytes()
}

// caption is what has to be known about the plot.
func (rep *report) caption() []string {
	m := rep.Machine
	return []string{
		"Bars are ratios of medians to those of the kernel's TCP with crypto/tls, which is 1 (dashed); thin lines are the ratios of single rounds.",
		"Black marks are targets of the contestant beside them: its bar should reach them, or, where less is better, not pass them.",
		fmt.Sprintf("%s, %d cores, Linux %s, %s; %d rounds of %s; %s; load %.1f to %.1f.", m.CPU, m.Cores, m.Kernel, m.Go, rep.Rounds, rep.Window,
			rep.Started.Format("2006-01-02"), m.LoadBefore, m.LoadAfter),
	}
}

// describePlot is the plot in words: the rows that have a target.
func (rep *report) describePlot() string {
	text := "Ratios to the kernel's TCP with crypto/tls, as horizontal bars with their spread."
	for _, r := range rep.Rows {
		for _, v := range r.Verdicts {
			text += fmt.Sprintf(" %s, %s: %s.", r.Measure, r.Contestant, v)
		}
	}
	return text
}

func describe(m metric, rows []*row) string {
	switch {
	case m == metricP50:
		return "p50 of the latency, less is better"
	case m == metricMemory:
		return "memory of a connection, less is better"
	case rows[0].unit == content:
		return "MB/s"
	}
	return "operations/s"
}

// byMeasure groups rows that follow each other.
func byMeasure(rows []*row) (groups [][]*row) {
	for i, r := range rows {
		if i == 0 || rows[i-1].Measure != r.Measure {
			groups = append(groups, nil)
		}
		groups[len(groups)-1] = append(groups[len(groups)-1], r)
	}
	return groups
}

func axisX(ratio float64) float64 {
	return plotLeft + (plotRight-plotLeft)*min(max(ratio, 0), axisEnd)/axisEnd
}

func drawBar(b *bytes.Buffer, y int, r *row, m metric, q ratio) {
	middle := y + barHeight/2
	fmt.Fprintf(b, `<text x="%d" y="%d" text-anchor="end">%s</text>`, plotLeft-6, y+barHeight-1, html.EscapeString(r.Contestant))
	colour := colours[r.Contestant]
	if colour == "" {
		colour = "#888"
	}
	fmt.Fprintf(b, `<rect x="%d" y="%d" width="%.1f" height="%d" fill="%s"/>`, plotLeft, y, axisX(q.Of)-plotLeft, barHeight, colour)
	note := fmt.Sprintf("%.2f", q.Of)
	if len(r.Rounds) > 1 {
		fmt.Fprintf(b, `<line x1="%.1f" y1="%d" x2="%.1f" y2="%d" class="spread"/>`, axisX(q.Min), middle, axisX(q.Max), middle)
		note += fmt.Sprintf(" (%.2f..%.2f)", q.Min, q.Max)
	}
	for _, v := range r.Verdicts {
		bound := math.NaN()
		switch {
		case v.Metric != m:
		case v.Over == kernelName:
			bound = v.Bound
		case v.Over == "" && v.Got > 0:
			bound = v.Bound / v.Got * q.Of // of the value itself
		}
		if math.IsNaN(bound) {
			continue
		}
		x := axisX(bound)
		for _, class := range []string{"halo", "target"} {
			fmt.Fprintf(b, `<line x1="%.1f" y1="%d" x2="%.1f" y2="%d" class="%s"/>`, x, y-2, x, y+barHeight+2, class)
		}
		sign, word := "≥", "missed"
		if m.less() {
			sign = "≤"
		}
		if v.OK {
			word = "ok"
		}
		note += fmt.Sprintf(", %s %.2f: %s", sign, bound, word)
	}
	fmt.Fprintf(b, `<text x="%d" y="%d">%s</text>`+"\n", plotRight+8, y+barHeight-1, html.EscapeString(note))
}
