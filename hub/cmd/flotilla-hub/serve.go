package main

import (
	"errors"
	"fmt"
	"net/netip"
	"os"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"flotilla.dev/flotilla/hub"
	"flotilla.dev/flotilla/pkg/environ"
	"flotilla.dev/flotilla/pkg/telemetry"
)

// settings are the flags of every command that opens the hub's data.
type settings struct {
	config    hub.Config
	logLevel  string
	logFormat string
	allow     []string
}

func (s *settings) register(flags *pflag.FlagSet) {
	flags.StringVar(&s.config.DataDir, "data-dir", "/var/lib/flotilla-hub", "directory of the key file, the mirrors of sources and the private Postgres")
	flags.StringVar(&s.config.DatabaseURL, "database-url", "", "URL of Postgres 15 or later; without it a private Postgres is started in the data directory")
	flags.StringVar(&s.config.KeyFile, "key-file", "", "file of the 32-byte key that everything secret derives from (default: hub.key in the data directory)")
	flags.StringVar(&s.config.KeySecret, "key-secret", "", "Kubernetes Secret of that key in place of a file, NAMESPACE/NAME or NAMESPACE/NAME/KEY; made beside an empty database. The key itself can be given by FLOTILLA_KEY, in hexadecimal digits or base64")
	flags.StringVar(&s.config.Kubeconfig, "kubeconfig", "", "kubeconfig for --key-secret (default: the account of the Pod)")
	flags.StringVar(&s.config.Blobs, "blobs", "", "S3-compatible object storage for the contents of files and manifests, s3://BUCKET/PREFIX?endpoint=HOST[:PORT]&region=REGION (default: the database). Its credential is given by FLOTILLA_BLOBS_ACCESS_KEY and FLOTILLA_BLOBS_SECRET_KEY. All replicas have the same")
	flags.StringVar(&s.config.BlobsCredentialFile, "blobs-credential-file", "", "file of two lines, the access key and the secret key for --blobs")
	flags.StringVar(&s.config.AdminTokenFile, "admin-token-file", "", "write the admin token here when one is made, instead of printing it")
	flags.StringVar(&s.logLevel, "log-level", "info", "debug, info, warn or error")
	flags.StringVar(&s.logFormat, "log-format", "text", "text or json")
}

func serveCommand() *cobra.Command {
	var s settings
	cmd := &cobra.Command{
		Use: "serve", Short: "Run the hub", Args: cobra.NoArgs,
		Long: "Run the hub until SIGINT or SIGTERM. Every flag can be set by environment: --data-dir by FLOTILLA_DATA_DIR.",
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := s.complete(cmd.Flags()); err != nil {
				return err
			}
			return hub.Run(cmd.Context(), s.config)
		},
	}
	flags := cmd.Flags()
	s.register(flags)
	flags.StringVar(&s.config.TrustDomain, "trust-domain", "", "trust domain of the clusters' identities (default: flotilla.local)")
	flags.StringVar(&s.config.SpokeListen, "spoke-listen", ":8443", "address for spokes")
	flags.StringVar(&s.config.AdminListen, "admin-listen", ":9443", "address for fleetctl")
	flags.StringVar(&s.config.HookListen, "hook-listen", ":9292", "address for webhooks, which has to be reachable by those who send them")
	flags.StringVar(&s.config.HTTPListen, "http-listen", ":8080", "address for metrics and probes")
	flags.StringVar(&s.config.SpokeAddress, "spoke-address", "", "host:port that spokes reach the hub at, for join commands (default: the listener's, or its port at the first --host)")
	flags.StringSliceVar(&s.config.Hosts, "host", nil, "names and addresses to issue the server certificate for")
	flags.StringVar(&s.config.ReadyFile, "ready-file", "", "write the real addresses here, as JSON, once everything listens")
	flags.Int64Var(&s.config.RenderMemory, "render-memory", 512<<20, "memory of one build, in bytes")
	flags.IntVar(&s.config.CheckBuilds, "check-builds", 100, "have kustomize itself repeat one in so many builds, of up to 2,000 objects, that it did not make, and use its output where it is another; 0: none")
	flags.BoolVar(&s.config.DenyPrivateSources, "deny-private-sources", false, "refuse sources at loopback and private addresses")
	flags.StringSliceVar(&s.allow, "allow-sources", nil, "address ranges that --deny-private-sources does not refuse")
	flags.BoolVar(&s.config.AllowCrossNamespaceRefs, "allow-cross-namespace-refs", false, "let Kustomizations be built from sources of other namespaces")
	flags.StringVar(&s.config.TrustedRootFile, "trusted-root", "", "trusted_root.json of Sigstore, for keyless signatures of sources that name none of their own")
	return cmd
}

// complete takes what no flag said from the environment, and reports every problem at once.
func (s *settings) complete(flags *pflag.FlagSet) error {
	var errs []error
	if _, err := environ.Fill(flags, environ.Prefix, os.Getenv); err != nil {
		errs = append(errs, err)
	}
	// What is secret has no flag: others could read it in the list of processes.
	s.config.Key = os.Getenv("FLOTILLA_KEY")
	s.config.BlobsAccessKey, s.config.BlobsSecretKey = os.Getenv("FLOTILLA_BLOBS_ACCESS_KEY"), os.Getenv("FLOTILLA_BLOBS_SECRET_KEY")
	for _, text := range s.allow {
		prefix, err := netip.ParsePrefix(text)
		if err != nil {
			errs = append(errs, fmt.Errorf("--allow-sources %q is not an address range such as 10.0.0.0/8", text))
			continue
		}
		s.config.AllowSources = append(s.config.AllowSources, prefix)
	}
	log, err := telemetry.NewLogger(os.Stderr, s.logLevel, s.logFormat)
	s.config.Log = log
	return errors.Join(append(errs, err, s.config.Validate())...)
}
