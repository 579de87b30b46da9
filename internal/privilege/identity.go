package privilege

import (
	"errors"
	"fmt"
	"os"
	"os/user"
	"strconv"
)

// The users that a process started as root becomes if none is named.
const (
	serviceUser  = "synscope"
	fallbackUser = "nobody"

	// fallbackID is the number of the fallback user and of its group where no
	// passwd file names it, as in an image with one binary: the number that
	// Linux shows for users it has no number for.
	fallbackID = 65534
)

// An Identity is a user and the group of its files.
type Identity struct {
	Name     string
	UID, GID int
}

func (id Identity) String() string {
	return fmt.Sprintf("%s (uid %d, gid %d)", id.Name, id.UID, id.GID)
}

// Resolve returns the identity of the user with a name, or a number, to become.
// For "" it is that of the process if it does not run as root, and else that of
// the user synscope if there is one, or nobody. A user who is no less than root
// is an error. Set-up code uses it to make the files of the process its own.
func Resolve(name string) (Identity, error) {
	if name == "" {
		return defaultIdentity()
	}
	id, err := lookup(name)
	if err != nil {
		return Identity{}, err
	}
	if id.UID == os.Getuid() && id.UID != 0 {
		return current(), nil
	}
	if id.UID == 0 || id.GID == 0 {
		return Identity{}, fmt.Errorf("user %s is root or of the group root: name an unprivileged user", id)
	}
	return id, nil
}

// defaultIdentity is Resolve where no user is named.
func defaultIdentity() (Identity, error) {
	if os.Getuid() != 0 {
		return current(), nil
	}
	for _, name := range []string{serviceUser, fallbackUser} {
		if _, err := user.Lookup(name); err == nil {
			return Resolve(name)
		}
	}
	return Identity{Name: fallbackUser, UID: fallbackID, GID: fallbackID}, nil
}

// current is the identity of the process: its real user and group, which it has
// even if it was started from a set-user-ID file.
func current() Identity {
	id := Identity{Name: strconv.Itoa(os.Getuid()), UID: os.Getuid(), GID: os.Getgid()}
	if u, err := user.LookupId(id.Name); err == nil {
		id.Name = u.Username
	}
	return id
}

// lookup finds a user by name, or by number. A number need not be known; its
// group then has the same number.
func lookup(name string) (Identity, error) {
	u, err := user.Lookup(name)
	number, errNumber := strconv.ParseUint(name, 10, 31)
	if err != nil && errNumber == nil {
		if u, err = user.LookupId(name); err != nil {
			return Identity{Name: name, UID: int(number), GID: int(number)}, nil
		}
	}
	var unknown user.UnknownUserError
	if errors.As(err, &unknown) {
		return Identity{}, fmt.Errorf("there is no user %q: create it (useradd --system %s), or name another", name, name)
	}
	if err != nil {
		return Identity{}, fmt.Errorf("looking up user %q: %w", name, err)
	}
	uid, errUID := strconv.Atoi(u.Uid)
	gid, errGID := strconv.Atoi(u.Gid)
	if err := errors.Join(errUID, errGID); err != nil {
		return Identity{}, fmt.Errorf("user %q: %w", name, err)
	}
	return Identity{Name: u.Username, UID: uid, GID: gid}, nil
}
