package explain

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

const (
	maxClose    = 4  // names offered in place of an unknown one
	maxDistance = 3  // edits within which a name counts as close
	maxCompared = 40 // bytes of a name that are compared; no step's name is longer
)

// An UnknownError says that no step has a name.
type UnknownError struct {
	Name  string   // as it was asked for
	Close []string // names of steps that may have been meant, nearest first
}

func (e *UnknownError) Error() string {
	if len(e.Close) == 0 {
		return fmt.Sprintf("unknown step %.40q; explain without a step lists all of them", e.Name)
	}
	return fmt.Sprintf("unknown step %.40q; did you mean %s?", e.Name, strings.Join(e.Close, ", "))
}

// closeTo returns the names of the steps that are near to name: those that
// contain it, and those a few edits away.
func closeTo(name string) []string {
	folded := fold(name)
	if len(folded) > maxCompared {
		folded = folded[:maxCompared]
	}
	type match struct {
		name     string
		distance int
	}
	var ms []match
	for _, s := range Steps() {
		n := fold(s.Name)
		d := min(distance(folded, n), distance(folded, fold(s.Title)))
		switch {
		case len(folded) >= 2 && (strings.Contains(n, folded) || strings.Contains(fold(s.Title), folded)):
			ms = append(ms, match{s.Name, 0})
		case d <= min(maxDistance, len(folded)/2):
			ms = append(ms, match{s.Name, d})
		}
	}
	slices.SortStableFunc(ms, func(a, b match) int { return cmp.Compare(a.distance, b.distance) })
	var names []string
	for _, m := range ms[:min(len(ms), maxClose)] {
		names = append(names, m.name)
	}
	return names
}

// distance is the Levenshtein distance: the fewest insertions, deletions and
// replacements of a byte that turn a into b.
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			replace := diagonal
			if a[i] != b[j] {
				replace++
			}
			diagonal = row[j+1]
			row[j+1] = min(replace, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}
