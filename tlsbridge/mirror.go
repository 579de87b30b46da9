package tlsbridge

import (
	"context"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"strconv"
	"strings"
	"time"
)

const (
	// maxRequestBody bounds the body that the mirror takes, and throws away,
	// before it answers; a longer one is answered with 413.
	maxRequestBody = 1 << 20
	// requestBodyTimeout bounds the time that such a body takes.
	requestBodyTimeout = 60 * time.Second
	// storyTimeout bounds the time that a story takes.
	storyTimeout = 10 * time.Second
)

// Mirror returns the service that answers any HTTP request with the story of
// the connection it came on: as text, or as JSON if the Accept header prefers
// application/json or the query has format=json.
func Mirror() Service { return mirror }

var mirror = HTTP(http.HandlerFunc(answerStory))

func answerStory(w http.ResponseWriter, r *http.Request) {
	if r.Method == http.MethodConnect {
		http.Error(w, "this is no proxy", http.StatusMethodNotAllowed)
		return
	}
	format, err := chooseFormat(r)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	if r.ContentLength != 0 {
		http.NewResponseController(w).SetReadDeadline(time.Now().Add(requestBodyTimeout))
	}
	_, err = io.Copy(io.Discard, http.MaxBytesReader(w, r.Body, maxRequestBody))
	var tooLong *http.MaxBytesError
	if errors.As(err, &tooLong) {
		http.Error(w, fmt.Sprintf("the body is longer than %d bytes", tooLong.Limit), http.StatusRequestEntityTooLarge)
		return
	}
	// net/http takes a half-close for the end of the client and cancels the
	// context of the request; the client may well wait for the answer.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(r.Context()), storyTimeout)
	defer cancel()
	body, err := format.render(ctx, SessionFrom(ctx))
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	h := w.Header()
	h.Set("Content-Type", format.contentType)
	h.Set("Content-Length", strconv.Itoa(len(body)))
	h.Set("Cache-Control", "no-store")
	h.Set("Vary", "Accept")
	h.Set("X-Content-Type-Options", "nosniff")
	w.Write(body) // an error is the client's end
}

// A format is a form of the story.
type format struct {
	contentType string
	render      func(context.Context, *Session) ([]byte, error)
}

var (
	textFormat = format{"text/plain; charset=utf-8", renderText}
	jsonFormat = format{"application/json", renderJSON}
)

func renderText(ctx context.Context, s *Session) ([]byte, error) {
	if s.Story != nil {
		return s.Story.Text(ctx, s.Flow)
	}
	b := fmt.Appendf(nil, "%s\n", s.Flow)
	if s.TLS != nil {
		b = fmt.Appendf(b, "%s\n", describe(*s.TLS))
	}
	return b, nil
}

func renderJSON(ctx context.Context, s *Session) ([]byte, error) {
	if s.Story != nil {
		return s.Story.JSON(ctx, s.Flow)
	}
	return []byte("[]\n"), nil
}

func chooseFormat(r *http.Request) (format, error) {
	switch f := r.URL.Query().Get("format"); f {
	case "json":
		return jsonFormat, nil
	case "text":
		return textFormat, nil
	case "":
	default:
		return format{}, fmt.Errorf("unknown format %q: it is json or text", bounded(f))
	}
	if prefersJSON(r.Header.Values("Accept")) {
		return jsonFormat, nil
	}
	return textFormat, nil
}

// prefersJSON reports whether an Accept header (RFC 9110, section 12.5.1) gives
// application/json a higher quality than text/plain.
func prefersJSON(accept []string) bool {
	return quality(accept, "application", "json") > quality(accept, "text", "plain")
}

// quality returns the weight of the most specific range that matches the media
// type; 0 if none does.
func quality(accept []string, kind, subtype string) float64 {
	ranges := map[string]int{"*/*": 1, kind + "/*": 2, kind + "/" + subtype: 3}
	best, weight := 0, 0.0
	for item := range strings.SplitSeq(strings.Join(accept, ","), ",") {
		name, params, err := mime.ParseMediaType(item)
		if err != nil {
			continue
		}
		if specific := ranges[name]; specific > best {
			best, weight = specific, 1
			if q, err := strconv.ParseFloat(params["q"], 64); err == nil {
				weight = q
			}
		}
	}
	return weight
}
