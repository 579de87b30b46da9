// Package nameserver answers DNS queries (RFC 1035) so that every name leads to
// an address of ours, and knows afterwards which name an address was given for.
//
// [Names] is the table of both. [Server] answers A, AAAA, HTTPS and SVCB (RFC
// 9460) queries from it, and PTR for what it gave out; other types exist but
// have no records. Names below localhost are the loopback interface (RFC 6761,
// section 6.3).
//
// It asks no other server, keeps no zone, and signs nothing.
package nameserver
