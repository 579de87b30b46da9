// Package nearest finds the name that was probably meant by one that does not
// exist.
package nearest

import (
	"fmt"
	"strings"
)

// Suggest returns the question whether the nearest of names was meant, or ""
// if none is near.
func Suggest(name string, names []string) string {
	const maxName = 64 // nothing that long is near a name of ours; bounds the work
	if len(name) > maxName {
		return ""
	}
	best, nearest := 0, ""
	for _, n := range names {
		// Hyphens for underscores and the wrong case are no mistake to count.
		d := distance(fold(name), fold(n))
		if d <= max(len(n)/3, 1) && (nearest == "" || d < best) {
			best, nearest = d, n
		}
	}
	if nearest == "" {
		return ""
	}
	return fmt.Sprintf("did you mean %q?", nearest)
}

func fold(s string) string { return strings.ReplaceAll(strings.ToLower(s), "-", "_") }

// distance is the optimal string alignment distance of two strings: the bytes
// to insert, delete, replace, or swap with the next.
func distance(a, b string) int {
	d := make([][]int, len(a)+1) // d[i][j] is that of a[:i] and b[:j]
	for i := range d {
		d[i] = make([]int, len(b)+1)
		d[i][0] = i
	}
	for j := range d[0] {
		d[0][j] = j
	}
	for i := 1; i <= len(a); i++ {
		for j := 1; j <= len(b); j++ {
			replace := d[i-1][j-1]
			if a[i-1] != b[j-1] {
				replace++
			}
			d[i][j] = min(replace, d[i-1][j]+1, d[i][j-1]+1)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				d[i][j] = min(d[i][j], d[i-2][j-2]+1)
			}
		}
	}
	return d[len(a)][len(b)]
}
