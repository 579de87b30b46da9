// Package tuntest has TUN devices in memory, for tests of what stands behind a
// [tun.Device], without privileges and without a kernel.
//
// [Pipe] connects two devices with each other, as a cable connects two hosts.
// [New] makes one device whose other end is the test itself, which puts packets
// in and takes packets out. With [Device.SetFilter], packets are lost,
// duplicated, reordered or altered on the way.
//
// The devices are strict where a kernel may be lenient: a packet that is longer
// than the MTU and not a super-packet is refused. They pass super-packets as
// they are, with the checksum partial, as a kernel does; nothing is cut or
// completed. There is no latency and no limit of rate.
package tuntest
