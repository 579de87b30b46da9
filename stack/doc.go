// Package stack runs gVisor's netstack behind a [tun.Device] and shows what it
// does.
//
// Any address of the served prefixes and any port answers: a listener is made
// when the first SYN for its port arrives and closed when it is idle. Accepted
// connections come out of [Stack.Accept], which makes a Stack a net.Listener.
//
// What is seen is handed to an [Observer], in two views that are kept apart:
//
//   - each IP packet, as it crosses the link, before netstack sees it;
//   - each state of each TCP endpoint, as netstack says it is.
//
// gVisor has no hook for state changes. An endpoint is found when its SYN-ACK
// is written (at its first segment thereafter, where that carried a SYN cookie),
// and its state, an atomic value, is read wherever it can have changed: at each
// segment written (which happens under the endpoint's lock), after each segment
// handled (the TCP probe), at each wake-up of its waiter queue, around each call
// of ours, and by a sweeper until it is accepted, as nobody is woken up by its
// end so far.
//
// UDP is served on the ports of [Stack.ListenUDP] only, by the link itself.
//
// ICMP echo is answered for every served address. A packet for any other
// address, or for a protocol that is not served, is answered with ICMP
// unreachable and told to the observer.
//
// Fragments are not reassembled: one is told and dropped.
//
// The package does not parse TLS, keep history or render anything. It does not
// forward packets.
package stack
