package control

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"syscall"

	"synscope/event"
	"synscope/internal/jsonlines"
)

// A Client asks the daemon at a control socket. Its methods may be called from
// any goroutine. An error that a person can do something about is an *Error.
type Client struct {
	path string
	http http.Client
}

// NewClient returns a Client for the socket at path. It does not connect yet.
func NewClient(path string) (*Client, error) {
	path, err := checkPath(path)
	if err != nil {
		return nil, err
	}
	dial := func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", path)
	}
	return &Client{path: path, http: http.Client{Transport: &http.Transport{DialContext: dial}}}, nil
}

// Close closes idle connections.
func (c *Client) Close() error {
	c.http.CloseIdleConnections()
	return nil
}

// Status returns what the daemon says of itself.
func (c *Client) Status(ctx context.Context) (*Status, error) {
	s := new(Status)
	return s, c.getJSON(ctx, "/v1/status", nil, s)
}

// A Query selects connections. Its zero value selects all.
type Query struct {
	State  string // "open", "ended", or "" for both
	Newest int    // at most so many, the newest; 0 for all
}

// Connections returns the connections of the history.
func (c *Client) Connections(ctx context.Context, q Query) (*Connections, error) {
	v := url.Values{}
	if q.State != "" {
		v.Set("state", q.State)
	}
	if q.Newest > 0 {
		v.Set("newest", strconv.Itoa(q.Newest))
	}
	cs := new(Connections)
	return cs, c.getJSON(ctx, "/v1/connections", v, cs)
}

// Connection returns the events that are kept of a connection, with a trace.gap
// wherever some are missing.
func (c *Client) Connection(ctx context.Context, id uint64) ([]*event.Event, error) {
	body, err := c.get(ctx, "/v1/connections/"+strconv.FormatUint(id, 10), nil)
	if err != nil {
		return nil, err
	}
	defer body.Close()
	var es []*event.Event
	for e, err := range jsonlines.Read(body) {
		if err != nil {
			return nil, c.broken(err)
		}
		es = append(es, e)
	}
	return es, nil
}

// A Follow says which events are followed.
type Follow struct {
	// Conn is the connection to follow from its begin to its end; 0 is all.
	Conn uint64
	// Past has all that is kept of the open connections come first, with that
	// of the newest Ended ones that ended.
	Past  bool
	Ended int
}

// Events returns the events as they come, as JSON lines (jsonlines.Read). The
// stream ends when ctx is done, with the connection that is followed, or in
// order with the daemon; an error before its end is io.ErrUnexpectedEOF.
func (c *Client) Events(ctx context.Context, f Follow) (io.ReadCloser, error) {
	v := url.Values{}
	if f.Conn > 0 {
		v.Set("conn", strconv.FormatUint(f.Conn, 10))
	}
	if f.Past {
		v.Set("history", strconv.Itoa(f.Ended))
	}
	return c.get(ctx, "/v1/events", v)
}

func (c *Client) getJSON(ctx context.Context, path string, query url.Values, v any) error {
	body, err := c.get(ctx, path, query)
	if err != nil {
		return err
	}
	defer body.Close()
	if err := json.NewDecoder(body).Decode(v); err != nil {
		return c.broken(err)
	}
	return nil
}

// get returns the body of an answer that is 200.
func (c *Client) get(ctx context.Context, path string, query url.Values) (io.ReadCloser, error) {
	u := url.URL{Scheme: "http", Host: "synscope", Path: path, RawQuery: query.Encode()}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, u.String(), nil)
	if err != nil {
		return nil, err
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return nil, c.unreachable(err)
	}
	if resp.StatusCode == http.StatusOK {
		return resp.Body, nil
	}
	defer resp.Body.Close()
	var f failure
	if err := json.NewDecoder(io.LimitReader(resp.Body, maxHeader)).Decode(&f); err != nil || f.Error == "" {
		return nil, fmt.Errorf("control socket %s: the answer is %s", c.path, resp.Status)
	}
	return nil, &Error{errors.New(f.Error), f.Hint}
}

// unreachable says why there is no answer.
func (c *Client) unreachable(err error) error {
	var ue *url.Error
	if errors.As(err, &ue) {
		err = ue.Err
	}
	var dial *net.OpError
	switch {
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return err
	case !errors.As(err, &dial) || dial.Op != "dial":
		return &Error{fmt.Errorf("control socket %s: the daemon gave no answer: %w", c.path, reason(err)), "it answers root and its own user, and nobody once it ends"}
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, syscall.ECONNREFUSED):
		return &Error{fmt.Errorf("control socket %s: no daemon is running there", c.path), "start synscope serve, or give its --control here too"}
	case errors.Is(err, fs.ErrPermission):
		return &Error{fmt.Errorf("control socket %s: permission denied", c.path), "ask as root, or as the user that the daemon runs as"}
	}
	return fmt.Errorf("control socket %s: %w", c.path, reason(err))
}

func (c *Client) broken(err error) error {
	return fmt.Errorf("control socket %s: the answer is broken: %w", c.path, err)
}
