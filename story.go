package synscope

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"

	"synscope/event"
	"synscope/internal/ladder"
	"synscope/internal/trace"
)

// A story tells the mirror service of the connection that a request came on.
type story struct {
	tracer *trace.Tracer
}

var errNoStory = errors.New("synscope: the connection is not traced")

func (s story) events(ctx context.Context, flow event.Flow) ([]*event.Event, error) {
	if err := s.tracer.Sync(ctx); err != nil {
		return nil, err
	}
	es := s.tracer.Events(flow)
	if es == nil {
		return nil, errNoStory
	}
	return es, nil
}

// Text implements tlsbridge.Story with the ladder.
func (s story) Text(ctx context.Context, flow event.Flow) ([]byte, error) {
	es, err := s.events(ctx, flow)
	if err != nil {
		return nil, err
	}
	var b bytes.Buffer
	if err := ladder.Render(&b, es, ladder.Options{Unicode: true}); err != nil {
		return nil, err
	}
	return b.Bytes(), nil
}

// JSON implements tlsbridge.Story with an array of events.
func (s story) JSON(ctx context.Context, flow event.Flow) ([]byte, error) {
	es, err := s.events(ctx, flow)
	if err != nil {
		return nil, err
	}
	return json.Marshal(es)
}
