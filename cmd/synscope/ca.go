package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"synscope/internal/config"
)

// certificateFile is where the authority's certificate is in the state
// directory (tlsbridge.LoadOrCreateAuthority).
const certificateFile = "ca.pem"

func newCACommand() *cobra.Command {
	var stateDir string
	var path, trust bool
	cmd := &cobra.Command{
		Use:   "ca",
		Short: "The root certificate that clients are to trust",
		Long: "Ca prints the root certificate of the daemon's authority, as PEM. It is made\n" +
			"when the daemon first starts, and kept in the state directory.",
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if path && trust {
				return usageError{errors.New("--path and --trust exclude each other")}
			}
			file := filepath.Join(stateDir, certificateFile)
			pem, err := os.ReadFile(file)
			switch {
			case errors.Is(err, fs.ErrNotExist):
				return hinted{fmt.Errorf("%s: there is no authority yet", file), "synscope serve makes it; give its --state-dir here too"}
			case err != nil:
				return fmt.Errorf("%s: %w", file, reason(err))
			}
			switch {
			case path:
				fmt.Fprintln(cmd.OutOrStdout(), file)
			case trust:
				fmt.Fprintf(cmd.OutOrStdout(), trustText, file)
			default:
				cmd.OutOrStdout().Write(pem)
			}
			return nil
		},
	}
	cmd.Flags().StringVar(&stateDir, "state-dir", config.Default().StateDir, "where the daemon keeps its state")
	cmd.Flags().BoolVar(&path, "path", false, "print only where the certificate is")
	cmd.Flags().BoolVar(&trust, "trust", false, "print how common clients are made to trust it")
	return cmd
}

// trustText takes the path of the certificate.
const trustText = `The certificate is in %[1]s

for one command
  curl                  curl --cacert %[1]s URL
  openssl s_client      openssl s_client -CAfile %[1]s -connect HOST:PORT
  gnutls-cli            gnutls-cli --x509cafile=%[1]s HOST
  Python ssl, Go        SSL_CERT_FILE=%[1]s
  requests, pip         REQUESTS_CA_BUNDLE=%[1]s
  git                   GIT_SSL_CAINFO=%[1]s
  Node                  NODE_EXTRA_CA_CERTS=%[1]s
  Java                  keytool -importcert -noprompt -alias synscope -file %[1]s
                          -keystore trust.p12 -storetype PKCS12 -storepass changeit
                        java -Djavax.net.ssl.trustStore=trust.p12 -Djavax.net.ssl.trustStorePassword=changeit

for the whole machine (Debian)
  cp %[1]s /usr/local/share/ca-certificates/synscope.crt && update-ca-certificates
`
