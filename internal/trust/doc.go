// Package trust has a command's TLS clients trust one more root certificate,
// without changing anything but the command's own view: its environment, and
// files that are to be seen instead of others ([File]).
//
// Clients look in three kinds of places, and all are served at once:
//
//   - a bundle of the system (GnuTLS, OpenSSL, Go): a file with the root added
//     is seen in its place;
//   - a file that a variable names (SSL_CERT_FILE, NODE_EXTRA_CA_CERTS, …): one
//     that is set keeps its value, and its file is seen with the root added; one
//     that is not set names the bundle;
//   - a trust store of Java: one with the root added, in PKCS #12 without a
//     password, is seen in its place.
//
// Not served are clients with roots of their own: browsers (NSS), those that pin
// a certificate, and those told on their command line what to trust.
package trust
