package trust

import (
	"bytes"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
)

// maxFile bounds a file that is read, in bytes. Bundles have 0.2 MB.
const maxFile = 16 << 20

// A File is to be seen by its name in the directory given to New, and instead of
// the files in Over.
type File struct {
	Name string
	Data []byte
	Over []string
}

// An Injection is an environment and files that go with it.
type Injection struct {
	Env   []string
	Files []File
	// Unreadable are trust stores of Java that stay as they are.
	Unreadable []string

	root    *x509.Certificate
	pem     []byte
	dir     string
	covered map[string]bool // by path without symbolic links
}

// bundles are the places of the system's bundle in distributions of Linux.
var bundles = []string{
	"/etc/ssl/certs/ca-certificates.crt",                // Debian, Alpine, Arch
	"/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem", // Fedora
	"/etc/pki/tls/certs/ca-bundle.crt",                  // Fedora, older
	"/etc/pki/tls/cert.pem",
	"/etc/pki/tls/cacert.pem",
	"/etc/ssl/ca-bundle.pem",                 // SUSE
	"/var/lib/ca-certificates/ca-bundle.pem", // SUSE
	"/etc/ca-certificates/extracted/tls-ca-bundle.pem",
	"/etc/ssl/cert.pem", // Alpine, OpenSSL's own default
	"/usr/lib/ssl/cert.pem",
	"/usr/local/ssl/cert.pem",
}

// variables name a file of roots that replaces the client's own.
var variables = []string{
	"SSL_CERT_FILE", // OpenSSL, Go, rustls
	"NIX_SSL_CERT_FILE",
	"CURL_CA_BUNDLE",
	"GIT_SSL_CAINFO",
	"REQUESTS_CA_BUNDLE",
	"PIP_CERT",
	"HTTPLIB2_CA_CERTS",
	"AWS_CA_BUNDLE",
	"CLOUDSDK_CORE_CUSTOM_CA_CERTS_FILE",
	"GRPC_DEFAULT_SSL_ROOTS_FILE_PATH",
	"CARGO_HTTP_CAINFO",
	"PERL_LWP_SSL_CA_FILE",
	"HEX_CACERTS_PATH",
}

// additions name a file of roots that the client takes besides its own.
var additions = []string{"NODE_EXTRA_CA_CERTS", "DENO_CERT"}

// New returns the environment env with which a command trusts root, and the
// files for that. They are to be seen in dir.
func New(root *x509.Certificate, env []string, dir string) *Injection {
	i := &Injection{
		Env: slices.Clone(env), root: root, dir: dir, covered: make(map[string]bool),
		pem: pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: root.Raw}),
	}
	alone := i.add("ca.pem", i.pem)
	bundle := alone
	for _, path := range bundles {
		if i.coverPEM(path) && bundle == alone {
			bundle = path
		}
	}
	for _, name := range variables {
		deflt := bundle
		if name == "SSL_CERT_FILE" && i.getenv("SSL_CERT_DIR") != "" {
			deflt = alone // what else is trusted was chosen
		}
		i.variable(name, deflt, alone)
	}
	for _, name := range additions {
		i.variable(name, alone, alone)
	}
	i.coverJava()
	return i
}

// variable serves the clients that read a variable: the file that it names is
// covered, or else it is set, to deflt if it was not set at all.
func (i *Injection) variable(name, deflt, alone string) {
	value := i.getenv(name)
	switch {
	case value == "":
		i.setenv(name, deflt)
	case !i.coverPEM(value):
		i.setenv(name, alone) // it names nothing that can be read
	}
}

// coverPEM has a file of certificates be seen with the root added. It reports
// false if it is no file that can be read.
func (i *Injection) coverPEM(path string) bool {
	target, data, ok := i.read(path)
	if !ok || data == nil {
		return ok
	}
	data = append(bytes.TrimRight(data, "\n"), '\n')
	i.cover(target, fmt.Sprintf("bundle-%d.pem", len(i.Files)), append(data, i.pem...))
	return true
}

// read reads a file that is to be covered, and returns its path without symbolic
// links. The data are nil if it is covered already.
func (i *Injection) read(path string) (target string, data []byte, ok bool) {
	if i.covered[path] {
		return path, nil, true
	}
	// It may be anything: what is opened must not wait.
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return "", nil, false
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil || !info.Mode().IsRegular() || info.Size() > maxFile {
		return "", nil, false
	}
	target, err = os.Readlink(fmt.Sprintf("/proc/self/fd/%d", f.Fd()))
	if err != nil {
		return "", nil, false
	}
	if i.covered[target] {
		return target, nil, true
	}
	data = make([]byte, info.Size())
	if _, err := io.ReadFull(f, data); err != nil {
		return "", nil, false
	}
	return target, data, true
}

// cover has data be seen instead of a file.
func (i *Injection) cover(target, name string, data []byte) {
	i.covered[target] = true
	i.Files = append(i.Files, File{Name: name, Data: data, Over: []string{target}})
}

// add has data be seen in the directory, and returns its path.
func (i *Injection) add(name string, data []byte) string {
	i.Files = append(i.Files, File{Name: name, Data: data})
	return filepath.Join(i.dir, name)
}

// getenv returns the value of a variable. As for libc, the first one counts.
func (i *Injection) getenv(name string) string {
	for _, kv := range i.Env {
		if value, ok := strings.CutPrefix(kv, name+"="); ok {
			return value
		}
	}
	return ""
}

func (i *Injection) setenv(name, value string) {
	i.Env = slices.DeleteFunc(i.Env, func(kv string) bool { return strings.HasPrefix(kv, name+"=") })
	i.Env = append(i.Env, name+"="+value)
}
