package ladder

import (
	"fmt"
	"strings"

	"synscope/internal/typeset"
)

// maxListed bounds how many values of a list are written; a peer may send
// thousands.
const maxListed = 128

// joined lists with commas.
func joined[T fmt.Stringer](vs []T) string {
	ss := make([]string, 0, min(len(vs), maxListed)+1)
	for i, v := range vs {
		if i == maxListed {
			ss = append(ss, typeset.Thousands(uint64(len(vs)-maxListed))+" more")
			break
		}
		ss = append(ss, v.String())
	}
	return strings.Join(ss, ", ")
}

// size is a number of bytes for a person, in decimal units.
func size(n uint64) string {
	switch {
	case n >= 1e9:
		return fmt.Sprintf("%.1f GB", float64(n)/1e9)
	case n >= 1e6:
		return fmt.Sprintf("%.1f MB", float64(n)/1e6)
	case n >= 1e4:
		return fmt.Sprintf("%.1f kB", float64(n)/1e3)
	}
	return typeset.Count(n, "byte")
}
