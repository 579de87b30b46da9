// Package nameserver answers DNS queries (RFC 1035), so that every name leads to
// an address of ours or as the resolvers of this host do, and knows afterwards
// which name an address was given for.
//
// [Names] is the table of both. [Server] answers A, AAAA, HTTPS and SVCB (RFC
// 9460) queries from it, and PTR for what it gave out; other types exist but
// have no records. Names below localhost are the loopback interface (RFC 6761,
// section 6.3).
//
// [Forwarder] asks the resolvers that resolv.conf(5) names, and passes on what
// they answer, of whatever type.
//
// It keeps no zone and no cache, and signs and verifies nothing.
package nameserver
