package main

import (
	"encoding/binary"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"strconv"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

// runFlood is the main program that sends SYNs from addresses that do not exist,
// 10.0.0.0/8, through the routes of its namespace, until its standard input ends
// or a minute is over. Then it tells how many it has sent.
func runFlood(perSecond string) error {
	rate, err := strconv.Atoi(perSecond)
	if err != nil {
		return err
	}
	var stop atomic.Bool
	go func() {
		io.Copy(io.Discard, os.Stdin)
		stop.Store(true)
	}()
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.IPPROTO_RAW) // with the header included
	if err != nil {
		return fmt.Errorf("raw socket: %w", err)
	}
	defer unix.Close(fd)
	sent := 0
	start := time.Now()
	for elapsed := time.Duration(0); elapsed < time.Minute && !stop.Load(); elapsed = time.Since(start) {
		for due := int(float64(rate) * elapsed.Seconds()); sent < due && !stop.Load(); sent++ {
			to := unix.SockaddrInet4{Addr: [4]byte{198, 18, 3, byte(1 + sent%serverAddresses)}}
			err := unix.Sendto(fd, syn(to.Addr), 0, &to)
			if err == unix.ENOBUFS { // the interface's queue is full
				time.Sleep(time.Millisecond)
			} else if err != nil {
				return fmt.Errorf("sending a SYN: %w", err)
			}
		}
		time.Sleep(time.Millisecond)
	}
	fmt.Println(sent)
	return nil
}

// syn builds the IPv4 packet of a SYN from a random address and port, with the
// options of a Linux client but timestamps. The kernel fills in the IP checksum.
func syn(to [4]byte) []byte {
	const ipLen, tcpLen, flagSYN = 20, 28, 0x02
	b := make([]byte, ipLen+tcpLen)
	ip, tcp := b[:ipLen], b[ipLen:]
	ip[0] = 4<<4 | ipLen/4
	binary.BigEndian.PutUint16(ip[2:], uint16(len(b)))
	ip[8], ip[9] = 64, unix.IPPROTO_TCP
	ip[12], ip[13] = 10, byte(rand.Uint32())
	binary.BigEndian.PutUint16(ip[14:], uint16(rand.Uint32()))
	copy(ip[16:], to[:])

	binary.BigEndian.PutUint16(tcp, uint16(1024+rand.IntN(64000)))
	binary.BigEndian.PutUint16(tcp[2:], portTLSEcho)
	binary.BigEndian.PutUint32(tcp[4:], rand.Uint32())
	tcp[12], tcp[13] = tcpLen/4<<4, flagSYN
	binary.BigEndian.PutUint16(tcp[14:], 64240)
	copy(tcp[20:], []byte{2, 4, 1460 >> 8, 1460 & 0xff, 1, 3, 3, 7}) // maximum segment size, no-operation, window scale

	pseudo := append([]byte{0, unix.IPPROTO_TCP, 0, tcpLen}, ip[12:20]...)
	binary.BigEndian.PutUint16(tcp[16:], ^checksum(append(pseudo, tcp...)))
	return b
}

// checksum is that of RFC 1071, not complemented, of an even number of bytes.
func checksum(b []byte) uint16 {
	var sum uint32
	for ; len(b) >= 2; b = b[2:] {
		sum += uint32(binary.BigEndian.Uint16(b))
	}
	for sum > 0xffff {
		sum = sum>>16 + sum&0xffff
	}
	return uint16(sum)
}
