// Package privilege gives up, for good, everything that a process needed for its
// set-up only: [Drop] is called once, after the last device, socket and file is
// open, and before the first byte from the network is read.
//
// After it the process
//
//   - runs as an unprivileged user and group, without supplementary groups;
//   - holds no capability in any set (capabilities(7)), and cannot get one back:
//     no_new_privs is set, so an execve gives none, and the securebits that make
//     user 0 special are off and locked;
//   - leaves no core and cannot be traced by others of its user, for it holds
//     secrets: it is not dumpable (prctl(2), PR_SET_DUMPABLE), and RLIMIT_CORE is
//     0;
//   - opens no file but those below the paths it named, where the kernel has
//     Landlock (landlock(7)). Files that are open already stay usable.
//
// Credentials are a matter of each thread in Linux, and a Go process has many: each
// step is taken on all threads, and at the end the state of every thread is read
// back from /proc. [Drop] fails closed: after an error the process is between
// two states and has to exit.
//
// The package does not restrict the network, filter system calls, or change
// namespaces and roots. It is for Linux only.
package privilege
