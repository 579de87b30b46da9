package tuntest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"

	"synscope/tun"
)

const (
	queueLen = 1024 // packets that wait to be read, in each direction
	maxHeld  = 64   // packets that a filter may hold at a time
)

// A Verdict is what a filter decides for a packet.
type Verdict uint8

const (
	Pass      Verdict = iota // send it
	Drop                     // lose it
	Duplicate                // send it twice
	Hold                     // send it after the next packet that passes: reordered
)

// A Device is one end of a link in memory. It implements tun.Device, and all
// its methods are safe for concurrent use.
type Device struct {
	name    string
	mtu     int
	offload bool

	in, out    chan packet   // to be read here, to be read at the other end
	closed     chan struct{} // closed by Close
	peerClosed chan struct{} // closed by the peer's Close; nil if there is no peer
	closing    sync.Once

	mu     sync.Mutex // held while a packet is filtered and sent, so that they stay in order
	filter func([]byte) Verdict
	held   []packet
}

var _ tun.Device = (*Device)(nil)

type packet struct {
	data    []byte
	offload tun.Offload
}

func newDevice(name string, mtu int, offload bool) *Device {
	return &Device{
		name: name, mtu: mtu, offload: offload,
		in: make(chan packet, queueLen), out: make(chan packet, queueLen),
		closed: make(chan struct{}),
	}
}

// Pipe returns two devices of the given MTU in bytes: what is written to one is
// read from the other. With offload, both carry super-packets. When one is
// closed, the other is as if its interface were deleted: what was sent can
// still be read, then Read and Write return tun.ErrGone.
func Pipe(mtu int, offload bool) (a, b *Device) {
	a, b = newDevice("a", mtu, offload), newDevice("b", mtu, offload)
	b.in, b.out = a.out, a.in
	a.peerClosed, b.peerClosed = b.closed, a.closed
	return a, b
}

// New returns a device of the given MTU in bytes, without offloads, whose other
// end is the test: Inject gives it packets to read, Next returns what was
// written to it.
func New(mtu int) *Device { return newDevice("test", mtu, false) }

// Name is the name of the device: "a" and "b" of a pipe, else "test".
func (d *Device) Name() string { return d.name }

// MTU is the MTU of the device in bytes.
func (d *Device) MTU() int { return d.mtu }

// Offloads reports whether the device carries super-packets.
func (d *Device) Offloads() bool { return d.offload }

// SetFilter has f decide on each packet that is written to the device from now
// on; nil lets all pass. f is called with one packet at a time, in order, and
// may alter its bytes. It must not use the device. What is held at the time is
// sent with the next packet that passes.
func (d *Device) SetFilter(f func(packet []byte) Verdict) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.filter = f
}

// Read implements tun.Device. Several goroutines may read; each packet goes to
// one of them.
func (d *Device) Read(bufs [][]byte) (int, tun.Offload, error) {
	if err := d.ended(); errors.Is(err, os.ErrClosed) {
		return 0, tun.Offload{}, d.error("read", err)
	}
	p, err := d.receive(context.Background(), d.in)
	if err != nil {
		return 0, tun.Offload{}, d.error("read", err)
	}
	rest := p.data
	for _, b := range bufs {
		rest = rest[copy(b, rest):]
	}
	if len(rest) > 0 {
		return 0, tun.Offload{}, d.error("read", fmt.Errorf("%w: %w", tun.ErrPacket, io.ErrShortBuffer))
	}
	return len(p.data), p.offload, nil
}

// Write implements tun.Device. If 1,024 packets wait to be read at the other
// end it waits until there is room, or one of the ends is closed.
func (d *Device) Write(bufs [][]byte, off tun.Offload) error {
	p := packet{offload: off}
	for _, b := range bufs {
		p.data = append(p.data, b...)
	}
	if err := d.check(p); err != nil {
		return d.error("write", fmt.Errorf("%w: %w", tun.ErrPacket, err))
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if err := d.transmit(p); err != nil {
		return d.error("write", err)
	}
	return nil
}

// check fails on a packet that the device cannot carry.
func (d *Device) check(p packet) error {
	n, off := len(p.data), p.offload
	limit := d.mtu
	if off.GSO != tun.GSONone {
		limit = tun.MaxPacketSize
	}
	if n == 0 || n > limit {
		return fmt.Errorf("length %d is not within 1 to %d", n, limit)
	}
	if !d.offload && (off.NeedsChecksum || off.GSO != tun.GSONone) {
		return errors.New("the device has no offloads")
	}
	return off.Validate(n)
}

// transmit does with p what the filter decides. The caller holds d.mu.
func (d *Device) transmit(p packet) error {
	if err := d.ended(); err != nil {
		return err
	}
	verdict := Pass
	if d.filter != nil {
		verdict = d.filter(p.data)
	}
	send := []packet{p}
	switch verdict {
	case Pass:
	case Drop:
		send = nil
	case Duplicate:
		send = append(send, packet{append([]byte(nil), p.data...), p.offload})
	case Hold:
		if len(d.held) == maxHeld {
			return fmt.Errorf("the filter holds more than %d packets", maxHeld)
		}
		d.held = append(d.held, p)
		send = nil
	default:
		return fmt.Errorf("the filter returned the unknown verdict %d", verdict)
	}
	if len(send) > 0 {
		send = append(send, d.held...)
		d.held = nil
	}
	for _, p := range send {
		if err := d.send(d.out, p); err != nil {
			return err
		}
	}
	return nil
}

// Inject gives the device a packet to read, as if it came from the other end.
// The packet may be anything of up to tun.MaxPacketSize bytes: the MTU is not
// held. It is copied. If 1,024 packets wait, Inject waits until there is room or
// the device is closed.
func (d *Device) Inject(data []byte) error {
	if len(data) == 0 || len(data) > tun.MaxPacketSize {
		return d.error("inject", fmt.Errorf("%w: length %d is not within 1 to %d", tun.ErrPacket, len(data), tun.MaxPacketSize))
	}
	if err := d.send(d.in, packet{data: append([]byte(nil), data...)}); err != nil {
		return d.error("inject", err)
	}
	return nil
}

// Next returns the next packet that was written to the device. It waits until
// there is one, ctx is done, or the device is closed. It is for a device of New;
// on one of a pipe it would take packets from the peer.
func (d *Device) Next(ctx context.Context) ([]byte, error) {
	p, err := d.receive(ctx, d.out)
	if err != nil {
		return nil, d.error("next", err)
	}
	return p.data, nil
}

// Close ends the device: calls of it return. What the filter holds is lost.
func (d *Device) Close() error {
	d.closing.Do(func() { close(d.closed) })
	return nil
}

// send puts p into a queue as soon as there is room.
func (d *Device) send(queue chan<- packet, p packet) error {
	if err := d.ended(); err != nil {
		return err
	}
	select {
	case queue <- p:
		return nil
	case <-d.closed:
	case <-d.peerClosed:
	}
	return d.ended()
}

// receive takes the next packet from a queue, those sent before an end first.
func (d *Device) receive(ctx context.Context, queue <-chan packet) (packet, error) {
	select {
	case p := <-queue:
		return p, nil
	case <-d.closed:
	case <-d.peerClosed:
	case <-ctx.Done():
	}
	select {
	case p := <-queue:
		return p, nil
	default:
	}
	if err := d.ended(); err != nil {
		return packet{}, err
	}
	return packet{}, ctx.Err()
}

// ended returns why the device can no longer be used, or nil.
func (d *Device) ended() error {
	select {
	case <-d.closed:
		return os.ErrClosed
	default:
	}
	select {
	case <-d.peerClosed:
		return tun.ErrGone
	default:
		return nil
	}
}

func (d *Device) error(op string, err error) error {
	return &tun.Error{Op: op, Name: d.name, Err: err}
}
