// Package typeset writes for a person what the renderers of events have in
// common: text that a peer chose, made safe and bounded; words broken into
// lines; numbers, lengths of time, and names of messages.
//
// An escaped text has one column a character, so that its width is its number
// of characters. The functions that measure and break text expect such.
package typeset
