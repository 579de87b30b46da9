package control

import "synscope/event"

// sizeOf is what an event counts for the bound on a history.
func sizeOf(e *event.Event) int { return e.Size() }
