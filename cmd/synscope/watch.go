package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
	"golang.org/x/term"

	"synscope/internal/control"
)

// The rhythm of the live table.
const (
	redrawEvery = 500 * time.Millisecond
	lookEvery   = 100 * time.Millisecond // for a key, or another size of the window
	askTimeout  = 5 * time.Second
)

// Control sequences of terminals (ECMA-48 and xterm).
const (
	enterScreen = "\x1b[?1049h\x1b[?25l" // the alternate screen, without a cursor
	leaveScreen = "\x1b[?25h\x1b[?1049l"
	home        = "\x1b[H"
	clearRight  = "\x1b[K"
	clearBelow  = "\x1b[J"
	bold        = "\x1b[1m"
	reset       = "\x1b[0m"
)

// A window is the size of a terminal.
type window struct{ width, height int }

// watch shows the table until q, Ctrl-C, a signal, or an error, which leave the
// terminal as it was.
func watch(ctx context.Context, client *control.Client, q control.Query, in, out *os.File) error {
	ctx, stop := signal.NotifyContext(ctx, syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP)
	defer stop()
	// The first answer comes before the screen is touched: its error stands in
	// the ordinary place.
	status, err := client.Status(ctx)
	if err != nil {
		return err
	}
	old, err := term.MakeRaw(int(in.Fd()))
	if err != nil {
		return err
	}
	defer term.Restore(int(in.Fd()), old)
	if _, err := out.WriteString(enterScreen); err != nil {
		return err
	}
	defer out.WriteString(leaveScreen)

	var size window
	var drawn time.Time
	for ctx.Err() == nil {
		now := size
		if now.width, now.height, err = term.GetSize(int(out.Fd())); err != nil {
			return err
		}
		if now != size || time.Since(drawn) >= redrawEvery {
			size, drawn = now, time.Now()
			if err := draw(ctx, client, q, status, size, out); err != nil && ctx.Err() == nil {
				return err
			}
		}
		quit, err := quitKey(in)
		if quit || err != nil {
			return err
		}
	}
	return nil
}

// draw asks for the connections that the window has room for and shows them, the
// newest first.
func draw(ctx context.Context, client *control.Client, q control.Query, status *control.Status, size window, out *os.File) error {
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	rows := max(size.height-3, 1) // less title, header and the line where a cursor would be
	if q.Newest == 0 || q.Newest > rows {
		q.Newest = rows
	}
	cs, err := client.Connections(ctx, q)
	if err != nil {
		return err
	}
	_, err = out.WriteString(screen(cs, status, size, time.Now(), os.Getenv("NO_COLOR") == ""))
	return err
}

// screen is what stands on the terminal.
func screen(cs *control.Connections, status *control.Status, size window, now time.Time, color bool) string {
	title := fmt.Sprintf("synscope on %s, process %d: %d open, %d ended", status.Device, status.PID, cs.Open, cs.Ended)
	if cs.Dropped > 0 {
		title += fmt.Sprintf(", %d no longer kept", cs.Dropped)
	}
	title += "; q ends"
	lines := table(cs.Connections, now, size.width)
	var b strings.Builder
	put := func(text string, emphasis bool) {
		text = text[:min(len(text), max(size.width, 0))]
		if emphasis && color {
			text = bold + text + reset
		}
		b.WriteString(text + clearRight + "\r\n")
	}
	b.WriteString(home)
	put(title, false)
	put(lines[0], true)
	for i := len(lines) - 1; i > 0; i-- {
		put(lines[i], cs.Connections[i-1].Cause != "")
	}
	b.WriteString(clearBelow)
	return b.String()
}

// quitKey waits for a moment, and reports whether q, Ctrl-C or Ctrl-D was
// pressed meanwhile, or the terminal is gone.
func quitKey(in *os.File) (bool, error) {
	fds := []unix.PollFd{{Fd: int32(in.Fd()), Events: unix.POLLIN}}
	n, err := unix.Poll(fds, int(lookEvery/time.Millisecond))
	if err == unix.EINTR || n == 0 {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	keys := make([]byte, 64)
	n, err = in.Read(keys)
	if err != nil { // end of file, too
		return true, nil
	}
	return bytes.ContainsAny(keys[:n], "q\x03\x04"), nil
}
