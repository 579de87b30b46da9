// Package filter selects events, and connections, by expressions in CEL, the
// Common Expression Language (https://cel.dev). The reference for those who
// write them is docs/filter.md.
//
// A [Filter] is over one event, the variable event, and over its connection,
// whose fields, those of [event.Summary], are variables of their own:
//
//	event.kind == "tls.alert" && tls.version == "TLS 1.3"
//
// Values are those of the JSON encoding, except that a time is a timestamp and a
// duration a duration. Names and types are checked when an expression is
// compiled. What only the event at hand can tell, that it has no such field,
// makes the part of the expression that needs it undecided: false && undecided
// is false, true || undecided is true, and an event is not selected if all is
// undecided.
//
// A [Gate] applies a filter to a stream of events. One that needs the connection
// is decided when the connection has ended, by its final summary. An
// [Expectation] is over one connection, or over all those of a run at once and
// their events.
//
// CEL takes its environment from reflection and a parser; that is made when an
// expression is compiled, and not before. Expressions are those of the user, the
// values are those of peers: the length, the depth and the steps of an
// expression are bounded, and so is all that a Gate keeps.
package filter
