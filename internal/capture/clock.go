package capture

import (
	"fmt"
	"math/bits"
	"time"
)

// A clock is that of an interface: it says what its timestamps mean. The zero
// value has no time.
type clock struct {
	perSecond uint64 // units
	offset    int64  // seconds
}

// microseconds is the clock of an interface that does not say its resolution.
var microseconds = clock{perSecond: 1e6}

// resolve sets the units from the option if_tsresol: a negative power of ten,
// or of two if the highest bit is set.
func (c *clock) resolve(resolution byte) error {
	exponent := resolution & 0x7f
	if resolution&0x80 != 0 {
		if exponent > 63 {
			return fmt.Errorf("a timestamp resolution of 2^-%d, and 2^-63 is the finest that is read", exponent)
		}
		c.perSecond = 1 << exponent
		return nil
	}
	if exponent > 19 {
		return fmt.Errorf("a timestamp resolution of 10^-%d, and 10^-19 is the finest that is read", exponent)
	}
	c.perSecond = 1
	for range exponent {
		c.perSecond *= 10
	}
	return nil
}

// The seconds of the first and the last year that have four digits, which
// encodings of time rely on.
const (
	earliest = -62135596800 // 0001-01-01T00:00:00Z
	latest   = 253402300799 // 9999-12-31T23:59:59Z
)

// time returns the time of a timestamp, zero if it is out of range.
func (c clock) time(timestamp uint64) time.Time {
	if c.perSecond == 0 {
		return time.Time{}
	}
	seconds := timestamp / c.perSecond
	if seconds > latest || c.offset < 2*earliest || c.offset > latest {
		return time.Time{}
	}
	t := int64(seconds) + c.offset
	if t < earliest || t > latest {
		return time.Time{}
	}
	// The remainder is less than perSecond, so the quotient is less than 1e9.
	high, low := bits.Mul64(timestamp%c.perSecond, 1e9)
	nanoseconds, _ := bits.Div64(high, low, c.perSecond)
	return time.Unix(t, int64(nanoseconds)).UTC()
}
