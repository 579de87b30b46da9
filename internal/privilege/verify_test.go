package privilege

import (
	"strings"
	"testing"
)

// good is the status of a thread after a drop, as Linux 6.18 shows it, less what
// is not looked at.
const good = "Name:\tsynscope\nUmask:\t0022\nState:\tS (sleeping)\nTgid:\t7\nPid:\t9\n" +
	"Uid:\t65534\t65534\t65534\t65534\nGid:\t65533\t65533\t65533\t65533\nFDSize:\t64\nGroups:\t \n" +
	"CapInh:\t0000000000000000\nCapPrm:\t0000000000000000\nCapEff:\t0000000000000000\nCapBnd:\t0000000000000000\nCapAmb:\t0000000000000000\n" +
	"NoNewPrivs:\t1\nSeccomp:\t0\n"

// Anything that is left, or that /proc does not tell, is an error.
func TestVerifyStatus(t *testing.T) {
	id := Identity{"nobody", 65534, 65533}
	all := capabilities{setUID: true, setGID: true, setPCap: true}
	if err := verifyStatus(good, id, all); err != nil {
		t.Errorf("a good status: %v", err)
	}
	for _, test := range []struct{ old, new, want string }{
		{"Uid:\t65534\t65534\t65534\t65534", "Uid:\t65534\t65534\t0\t65534", `Uid is "65534 65534 0 65534", want "65534 65534 65534 65534"`},
		{"Gid:\t65533", "Gid:\t0", `Gid is "0 65533 65533 65533", want "65533 65533 65533 65533"`},
		{"Groups:\t ", "Groups:\t27 ", `Groups is "27", want ""`},
		{"CapInh:\t0", "CapInh:\t1", `CapInh is "1000000000000000", want "0000000000000000"`},
		{"CapPrm:\t0", "CapPrm:\t1", `CapPrm is "1000000000000000", want "0000000000000000"`},
		{"CapEff:\t0", "CapEff:\t1", `CapEff is "1000000000000000", want "0000000000000000"`},
		{"CapBnd:\t0", "CapBnd:\t1", `CapBnd is "1000000000000000", want "0000000000000000"`},
		{"CapAmb:\t0", "CapAmb:\t1", `CapAmb is "1000000000000000", want "0000000000000000"`},
		{"NoNewPrivs:\t1", "NoNewPrivs:\t0", `NoNewPrivs is "0", want "1"`},
		{"NoNewPrivs:\t1\n", "", `NoNewPrivs is "", want "1"`},
	} {
		err := verifyStatus(strings.Replace(good, test.old, test.new, 1), id, all)
		if err == nil || err.Error() != test.want {
			t.Errorf("%q: got %v, want %s", test.new, err, test.want)
		}
	}
	// What could not be given up is not held against it.
	kept := strings.NewReplacer("Groups:\t ", "Groups:\t27 ", "CapBnd:\t0", "CapBnd:\t1").Replace(good)
	if err := verifyStatus(kept, id, capabilities{}); err != nil {
		t.Errorf("a plain user's status: %v", err)
	}
}

// The test process is root: it does not pass.
func TestVerifyThreadsOfRoot(t *testing.T) {
	err := verifyThreads(Identity{"nobody", 65534, 65534}, capabilities{})
	if err == nil || !strings.Contains(err.Error(), `Uid is "0 0 0 0", want "65534 65534 65534 65534"`) {
		t.Errorf("got %v", err)
	}
}
