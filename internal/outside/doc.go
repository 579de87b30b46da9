// Package outside dials the real destinations of a client's connections, from
// where this process is, before the client is answered.
//
// A [Dialer] is asked at the client's SYN. What came of its dial, a [Result],
// says how the SYN is to be answered, so that the client meets what the
// destination did. A connection that was made is kept until the client's is
// accepted and claims it, or the client is gone, and for [Dialer.Keep] at most.
//
// Addresses of this host are dialled as those of any other, which reaches what
// another machine would. Its loopback is refused unless it is allowed: it is the
// place of services that were never meant for others.
package outside
