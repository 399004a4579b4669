package hub

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"path/filepath"
	"strings"

	"github.com/jackc/pgx/v5"

	"flotilla.dev/flotilla/pkg/identity"
)

// Config is what a hub is started with. Zero fields are the defaults, where there is one.
type Config struct {
	// DataDir holds the key file, the mirrors of sources and, without DatabaseURL, the private Postgres. Required.
	DataDir string
	// DatabaseURL of Postgres 15 or later; empty: a private one in DataDir.
	DatabaseURL string
	// KeyFile holds the 32 bytes that sealing, CA and signing keys derive from; default hub.key in DataDir. In its place may
	// stand Key, which is those bytes in hexadecimal digits or base64, or KeySecret, which is NAMESPACE/NAME[/KEY] of a
	// Kubernetes Secret, read by Kubeconfig (empty: by the account of the Pod).
	KeyFile, Key, KeySecret, Kubeconfig string
	// Blobs is the object storage that keeps the bytes of blobs (store.ParseObjects); empty: the database. Its credential is
	// BlobsAccessKey and BlobsSecretKey, or the two lines of BlobsCredentialFile.
	Blobs, BlobsAccessKey, BlobsSecretKey, BlobsCredentialFile string
	// TrustDomain of the clusters' identities; default flotilla.local.
	TrustDomain string
	// SpokeListen is for spokes (default :8443), AdminListen for fleetctl (:9443), HookListen for webhooks (:9292),
	// HTTPListen for metrics and probes (:8080).
	SpokeListen, AdminListen, HookListen, HTTPListen string
	// SpokeAddress is where spokes reach the hub, host:port, for join commands; default: the listener's address, or, of
	// one that listens on every address, its port at the first of Hosts that is not this machine alone.
	SpokeAddress string
	// Hosts are the names and addresses that certificates are issued for; clients trust the pinned CA, whatever the
	// name.
	Hosts []string
	// ReadyFile, when set, is written with the real addresses once everything listens.
	ReadyFile string
	// AdminTokenFile, when set, is written with the admin token when one is made; without it the token is printed
	// once.
	AdminTokenFile string
	// RenderMemory bounds a build, in bytes; default 512 MiB.
	RenderMemory int64
	// CheckBuilds has kustomize itself repeat one in so many builds that it did not make; 0: none.
	CheckBuilds int
	// DenyPrivateSources refuses sources at loopback and private addresses, but for AllowSources.
	DenyPrivateSources bool
	AllowSources       []netip.Prefix
	// AllowCrossNamespaceRefs lets Apps be built from sources of other namespaces. Every replica has to say the same.
	AllowCrossNamespaceRefs bool

	// TrustedRootFile is Sigstore's trusted_root.json for keyless signatures of Sources that name none of their own; empty:
	// such Sources have to.
	TrustedRootFile string

	Log *slog.Logger
}

// withDefaults fills what is zero.
func (c Config) withDefaults() Config {
	if c.Key == "" && c.KeySecret == "" && c.KeyFile == "" {
		c.KeyFile = filepath.Join(c.DataDir, "hub.key")
	}
	for field, value := range map[*string]string{
		&c.TrustDomain: identity.DefaultTrustDomain,
		&c.SpokeListen: ":8443", &c.AdminListen: ":9443", &c.HookListen: ":9292", &c.HTTPListen: ":8080",
	} {
		if *field == "" {
			*field = value
		}
	}
	if len(c.Hosts) == 0 {
		c.Hosts = []string{"localhost", "127.0.0.1", "::1"}
	}
	if c.Log == nil {
		c.Log = slog.Default()
	}
	return c
}

// Validate reports every problem at once.
func (c Config) Validate() error {
	c = c.withDefaults()
	errs := append(c.keyProblems(), c.blobsProblems()...)
	if c.DataDir == "" {
		errs = append(errs, errors.New("--data-dir is required"))
	}
	if _, err := pgx.ParseConfig(c.DatabaseURL); c.DatabaseURL != "" && err != nil {
		errs = append(errs, errors.New("--database-url is no URL of a Postgres database")) // the parser's text may hold the password
	}
	if err := identity.CheckTrustDomain(c.TrustDomain); err != nil {
		errs = append(errs, fmt.Errorf("--trust-domain: %w", err))
	}
	for _, address := range []struct{ flag, value string }{
		{"--spoke-listen", c.SpokeListen}, {"--admin-listen", c.AdminListen}, {"--hook-listen", c.HookListen}, {"--http-listen", c.HTTPListen},
	} {
		if _, _, err := net.SplitHostPort(address.value); err != nil {
			errs = append(errs, fmt.Errorf("%s %q is not host:port", address.flag, address.value))
		}
	}
	if host, _, err := net.SplitHostPort(c.SpokeAddress); c.SpokeAddress != "" && (err != nil || host == "") {
		errs = append(errs, fmt.Errorf("--spoke-address %q is not host:port", c.SpokeAddress))
	}
	for _, host := range c.Hosts {
		if net.ParseIP(host) == nil && strings.ContainsAny(host, ":/ ") {
			errs = append(errs, fmt.Errorf("--host %q is not a name or an address, without a port", host))
		}
	}
	if c.RenderMemory != 0 && c.RenderMemory < minRenderMemory {
		errs = append(errs, fmt.Errorf("--render-memory %d: at least %d bytes", c.RenderMemory, minRenderMemory))
	}
	if c.CheckBuilds < 0 {
		errs = append(errs, fmt.Errorf("--check-builds %d: one in so many, or 0 for none", c.CheckBuilds))
	}
	if len(c.AllowSources) > 0 && !c.DenyPrivateSources {
		errs = append(errs, errors.New("--allow-sources says nothing without --deny-private-sources"))
	}
	return errors.Join(errs...)
}

// minRenderMemory is what a build worker needs to start at all.
const minRenderMemory = 64 << 20

// LogValue is the effective configuration, without secrets.
func (c Config) LogValue() slog.Value {
	database := "private, in the data directory"
	if c.DatabaseURL != "" {
		database = "given by URL"
	}
	return slog.GroupValue(
		slog.String("dataDir", c.DataDir), slog.String("database", database), slog.String("key", keyPlaceOf(c).String()), slog.String("blobs", c.Blobs),
		slog.String("trustDomain", c.TrustDomain), slog.String("spokeListen", c.SpokeListen),
		slog.String("adminListen", c.AdminListen), slog.String("hookListen", c.HookListen), slog.String("httpListen", c.HTTPListen),
		slog.String("spokeAddress", c.SpokeAddress), slog.Any("hosts", c.Hosts), slog.Int64("renderMemory", c.RenderMemory),
		slog.Int("checkBuilds", c.CheckBuilds),
		slog.Bool("denyPrivateSources", c.DenyPrivateSources), slog.Any("allowSources", c.AllowSources),
		slog.Bool("allowCrossNamespaceRefs", c.AllowCrossNamespaceRefs), slog.String("trustedRoot", c.TrustedRootFile),
	)
}
