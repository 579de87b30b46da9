package trust

import (
	"crypto/x509"
	"errors"
	"fmt"
	"os/exec"
	"path/filepath"
	"strings"

	"golang.org/x/crypto/cryptobyte"
	"software.sslmate.com/src/go-pkcs12"
)

// storePassword is what the trust stores of Java have by default. It is no
// secret.
const storePassword = "changeit"

// maxStores bounds the trust stores that are looked for.
const maxStores = 16

// coverJava has the trust stores of Java be seen with the root added. Java can
// read them without a password, whatever is given it.
func (i *Injection) coverJava() {
	for _, s := range i.javaStores() {
		target, data, ok := i.read(s.path)
		if !ok || data == nil {
			continue
		}
		store, err := i.mergeStore(data, s.password)
		if err != nil {
			i.Unreadable = append(i.Unreadable, target)
			continue
		}
		i.cover(target, fmt.Sprintf("store-%d.p12", len(i.Files)), store)
	}
}

// A javaStore is where a trust store may be.
type javaStore struct{ path, password string }

// javaStores returns where trust stores may be: those of the system, those of
// the installed runtimes, and the one that the environment names.
func (i *Injection) javaStores() []javaStore {
	var stores []javaStore
	add := func(path string) { stores = append(stores, javaStore{path, storePassword}) }
	if s, ok := i.namedStore(); ok {
		stores = append(stores, s)
	}
	add("/etc/ssl/certs/java/cacerts")              // Debian
	add("/etc/pki/ca-trust/extracted/java/cacerts") // Fedora
	add("/var/lib/ca-certificates/java-cacerts")    // SUSE
	homes, _ := filepath.Glob("/usr/lib/jvm/*")     // the pattern is well-formed
	if home := i.getenv("JAVA_HOME"); home != "" {
		homes = append(homes, home)
	}
	if java, err := exec.LookPath("java"); err == nil {
		if java, err = filepath.EvalSymlinks(java); err == nil {
			homes = append(homes, filepath.Dir(filepath.Dir(java)))
		}
	}
	for _, home := range homes {
		add(filepath.Join(home, "lib/security/cacerts"))
		add(filepath.Join(home, "jre/lib/security/cacerts")) // Java 8
	}
	return stores[:min(len(stores), maxStores)]
}

// namedStore returns the trust store that the options in the environment name.
func (i *Injection) namedStore() (s javaStore, ok bool) {
	s.password = storePassword
	for _, name := range []string{"JAVA_TOOL_OPTIONS", "JDK_JAVA_OPTIONS", "_JAVA_OPTIONS"} {
		for option := range strings.FieldsSeq(i.getenv(name)) {
			if path, is := strings.CutPrefix(option, "-Djavax.net.ssl.trustStore="); is {
				s.path, ok = path, true
			}
			if password, is := strings.CutPrefix(option, "-Djavax.net.ssl.trustStorePassword="); is {
				s.password = password
			}
		}
	}
	return s, ok
}

// mergeStore returns a trust store with the certificates of another and the root.
func (i *Injection) mergeStore(data []byte, password string) ([]byte, error) {
	entries, err := readJKS(data)
	if errors.Is(err, errNotJKS) {
		entries, err = readPKCS12(data, password)
	}
	if err != nil {
		return nil, err
	}
	entries = append(entries, pkcs12.TrustStoreEntry{Cert: i.root, FriendlyName: i.root.Subject.CommonName})
	return pkcs12.Passwordless.EncodeTrustStoreEntries(entries, "")
}

func readPKCS12(data []byte, password string) ([]pkcs12.TrustStoreEntry, error) {
	certs, err := pkcs12.DecodeTrustStore(data, password)
	if err != nil {
		certs, err = pkcs12.DecodeTrustStore(data, "") // as newer runtimes have them
	}
	if err != nil {
		return nil, err
	}
	var entries []pkcs12.TrustStoreEntry
	for n, c := range certs {
		entries = append(entries, pkcs12.TrustStoreEntry{Cert: c, FriendlyName: fmt.Sprintf("%d %s", n, c.Subject.CommonName)})
	}
	return entries, nil
}

var (
	errNotJKS     = errors.New("no Java key store")
	errCorruptJKS = errors.New("corrupt Java key store")
)

// readJKS returns the certificates that a Java key store has entries of its own
// for. They are not encrypted, and its digest is not verified: it is the user's
// own file.
//
//	magic 0xfeedfeed, version 1 or 2, count; for each entry:
//	  tag u32 (1: key, 2: certificate), alias, date u64,
//	  in version 2 the type, length u32, certificate
//
// Strings have their length before them, as u16.
func readJKS(data []byte) ([]pkcs12.TrustStoreEntry, error) {
	const magic, tagCertificate = 0xfeedfeed, 2
	in := cryptobyte.String(data)
	var found, version, count uint32
	if !in.ReadUint32(&found) || found != magic {
		return nil, errNotJKS
	}
	if !in.ReadUint32(&version) || version < 1 || version > 2 || !in.ReadUint32(&count) {
		return nil, errCorruptJKS
	}
	var entries []pkcs12.TrustStoreEntry
	for range count {
		var (
			tag, length uint32
			alias, kind cryptobyte.String
			der         []byte
		)
		if !in.ReadUint32(&tag) || !in.ReadUint16LengthPrefixed(&alias) || !in.Skip(8) {
			return nil, errCorruptJKS
		}
		if tag != tagCertificate {
			return nil, errors.New("a Java key store with private keys")
		}
		if version == 2 && !in.ReadUint16LengthPrefixed(&kind) || !in.ReadUint32(&length) || !in.ReadBytes(&der, int(length)) {
			return nil, errCorruptJKS
		}
		// The encoder wants no more of it.
		entries = append(entries, pkcs12.TrustStoreEntry{Cert: &x509.Certificate{Raw: der}, FriendlyName: string(alias)})
	}
	return entries, nil
}
