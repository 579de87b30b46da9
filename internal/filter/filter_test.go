package filter

import "net/netip"

var (
	clientAddr = netip.MustParseAddrPort("198.18.0.1:50000")
	serverAddr = netip.MustParseAddrPort("198.18.3.4:443")
)
