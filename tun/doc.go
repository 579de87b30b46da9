// Package tun opens a TUN interface of Linux: a network interface whose link is
// this program. What the kernel routes to the interface is read from it as IP
// packets, and what is written to it arrives in the kernel.
//
// [Open] makes an interface that lasts until [Interface.Close], gives it its
// addresses and brings it up. Opening needs CAP_NET_ADMIN in the network
// namespace of the calling thread, which is where the interface then lives;
// nothing needs a capability afterwards. [Config.Validate] says before that
// what is wrong with a configuration.
//
// Where /dev/net/tun may not be opened, a [Veth] does the same, given CAP_NET_RAW
// as well. An interface can be opened by one process and used by another:
// [Interface.File], [Adopt].
//
// # Super-packets
//
// Per packet, a TUN costs the same whatever the length of the packet. So where
// the kernel allows it, the interface carries super-packets: TCP segments of up
// to 64 KB whose cutting to the MTU (generic segmentation offload, GSO) and
// whose checksum are left to the receiver. Each packet then has a virtio-net
// header in front of it, which [Offload] holds. Where the kernel refuses, each
// packet is at most one MTU long and complete, [Interface.Offloads] is false
// and [Interface.OffloadError] says why.
//
// # What it does not do
//
// It does not look into packets, finish checksums or cut super-packets: that is
// for the network stack behind a [Device]. It sets no route but those that the
// addresses bring, no firewall rule and no setting of another interface. It
// does not take over an interface that exists, and it has one queue.
//
// Package [synscope/tun/tuntest] has devices in memory, for tests without
// privileges.
package tun
