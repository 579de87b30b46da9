// Package sandbox runs a command whose network is ours: in a network namespace
// with one interface, behind which this program answers, and in a mount
// namespace in which some files are replaced. For everything else the command
// is to find itself where it was started: same user, directory, terminal,
// process group, environment, inherited files.
//
//	      this process                          helper, then the command
//	New        |------ clone, exec ourselves -------->|   user, network, mount namespaces
//	Prepare    |------ Spec (a memfd) --------------->|   mounts, interface, addresses, routes
//	           |<----- queue of the interface --------|
//	Exec       |------ go --------------------------->|   gives up its capabilities
//	           |<----- end of file, or the error -----|   exec
//	Wait       |       in place: signals, stops       |
//
// The helper is this program again: [Main] has to be the first thing that its
// main function calls. It ends by becoming the command, so that the command is
// a child of this process. This process stays in its own namespaces, and can
// reach the network that there is.
//
// # Privileges
//
// With CAP_SYS_ADMIN and CAP_NET_ADMIN there is no user namespace, and the
// command keeps the capabilities of its caller. Without them there is one, in
// which only the caller's own user and group exist; others are shown as nobody,
// and set-user-ID programs do not change the user. The command has no
// capability then. What confines it is its view of the network, not its rights:
// root can leave.
//
// # Signals and the terminal
//
// The command is in the process group of this process. What the terminal sends
// (SIGINT, SIGQUIT, SIGTSTP) reaches it without us. SIGKILL ends the command
// with this process; what the command started loses its network then.
//
// This process may be there for the command alone, which is run in its place
// then. What somebody sends to this process is passed on. Whether it was the
// terminal cannot be known: a signal that one can send is taken to be from there
// while the process group is in the foreground of its terminal. When the command
// stops, this process stops likewise, so that a shell sees it.
//
// SIGHUP and SIGINT that were ignored when this process was started are ignored
// by the command too. For other signals Go does not tell what they were.
//
// # What is left behind
//
// Nothing: the namespaces, their mounts and their interface go with the last
// process in them. No file is written outside. Where the interface is not a TUN,
// a process that has nothing but its queue lasts some 20 ms longer than this one.
package sandbox
