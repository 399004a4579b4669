package arch

// table has a row for every package of the module, by its path in it: the packages of the module that it may import, as
// patterns of path.Match. The proto packages appear at the edges only, and hub and spoke never meet.
//
// A new package gets a row, beside the packages that do work of its sort.
var table = map[string][]string{
	// The wire: generated.
	"proto/flotilla/admin/v1": {},
	"proto/flotilla/spoke/v1": {},

	// What all share. The nouns import nothing.
	"pkg/fleet":                 {},
	"pkg/artifact":              {"pkg/fleet"},
	"pkg/artifact/artifacttest": {"pkg/artifact", "pkg/fleet"},
	"pkg/build":                 {"pkg/artifact", "pkg/build/cache", "pkg/build/encode", "pkg/build/engine", "pkg/fleet", "pkg/manifest", "pkg/sops"},
	"pkg/check":                 {"pkg/fleet", "pkg/reach"},
	"pkg/build/buildtest":       {"pkg/fleet"},
	"pkg/build/cache":           {},
	"pkg/build/encode":          {},
	"pkg/build/engine":          {"pkg/build/cache", "pkg/build/encode", "pkg/fleet"},
	"pkg/confine":               {},
	"pkg/disk":                  {},
	"pkg/environ":               {},
	"pkg/expr":                  {"pkg/fleet", "pkg/flux"},
	"pkg/flux":                  {"pkg/fleet"},
	"pkg/identity":              {"pkg/disk", "pkg/fleet"},
	"pkg/manifest":              {"pkg/fleet", "pkg/sops"},
	"pkg/oci":                   {"pkg/fleet"},
	"pkg/patch":                 {"pkg/fleet"},
	"pkg/postgres":              {"pkg/disk", "pkg/run"},
	"pkg/reach":                 {},
	"pkg/render":                {"pkg/artifact", "pkg/build", "pkg/build/cache", "pkg/confine", "pkg/fleet", "pkg/run"},
	"pkg/resource":              {"pkg/fleet", "pkg/flux", "pkg/schedule"},
	"pkg/rpc":                   {"pkg/fleet", "pkg/run", "pkg/telemetry"},
	"pkg/rpc/rpctest":           {"pkg/rpc"},
	"pkg/run":                   {},
	"pkg/schedule":              {"pkg/fleet"},
	"pkg/subst":                 {"pkg/fleet"},
	"pkg/sops":                  {},
	"pkg/telemetry":             {},

	// The hub's parts meet in the database and in package hub, not in each other.
	"hub":                      {"pkg/*", "hub/*", "hub/rollout/check", "hub/source/*"},
	"hub/api":                  {"pkg/*", "hub/rollout", "proto/flotilla/admin/v1"},
	"hub/auth":                 {"pkg/*", "proto/flotilla/admin/v1"},
	"hub/hook":                 {"pkg/expr", "pkg/fleet", "pkg/flux", "pkg/resource", "pkg/run"},
	"hub/release":              {"pkg/*", "pkg/build/cache", "hub/source"},
	"hub/rollout":              {"pkg/fleet", "pkg/run", "pkg/schedule"},
	"hub/rollout/check":        {"hub/rollout", "pkg/check", "pkg/fleet", "pkg/run"},
	"hub/session":              {"pkg/*", "proto/flotilla/spoke/v1"},
	"hub/source":               {"pkg/artifact", "pkg/fleet", "pkg/flux", "pkg/reach", "pkg/run"},
	"hub/source/identity":      {},
	"hub/source/git":           {"pkg/artifact", "pkg/fleet", "pkg/flux", "hub/source", "hub/source/identity"},
	"hub/source/oci":           {"hub/source", "hub/source/identity", "hub/source/verify", "pkg/artifact", "pkg/fleet", "pkg/flux"},
	"hub/source/verify":        {"hub/source", "pkg/fleet", "pkg/flux"},
	"hub/source/bucket":        {"hub/source", "hub/source/identity", "pkg/artifact", "pkg/fleet", "pkg/flux"},
	"hub/source/helm":          {"pkg/artifact", "pkg/fleet", "pkg/flux", "hub/source"},
	"hub/store":                {"pkg/*", "hub/rollout"},
	"hub/web":                  {"pkg/run", "pkg/telemetry"},
	"hub/cmd/flotilla-hub":     {"pkg/*", "hub"},
	"hub/cmd/fleetctl":         {"pkg/*", "proto/flotilla/admin/v1", "hub/cmd/fleetctl/*"},
	"hub/cmd/fleetctl/config":  {"pkg/disk"},
	"hub/cmd/fleetctl/printer": {},

	// The spoke's parts reach each other through interfaces that package spoke fills in; a pass has its engine.
	"spoke":                     {"pkg/*", "spoke/*", "spoke/helm/*"},
	"spoke/account":             {"pkg/fleet", "spoke/apply"},
	"spoke/apply":               {"pkg/*"},
	"spoke/cache":               {"pkg/disk", "pkg/fleet", "pkg/telemetry"},
	"spoke/decrypt":             {"pkg/fleet", "pkg/sops"},
	"spoke/decrypt/decrypttest": {"pkg/sops"},
	"spoke/deploy":              {"pkg/*", "spoke/account", "spoke/apply", "spoke/decrypt", "spoke/diff", "spoke/drift", "spoke/health", "spoke/hold", "spoke/inventory", "spoke/reference", "spoke/takeover"},
	"spoke/diff":                {"pkg/fleet"},
	"spoke/drift":               {"pkg/fleet", "pkg/run"},
	"spoke/health":              {"pkg/expr", "pkg/fleet", "pkg/run"},
	"spoke/helm":                {"pkg/*", "spoke/account", "spoke/apply", "spoke/diff", "spoke/drift", "spoke/health", "spoke/helm/job", "spoke/hold", "spoke/inventory", "spoke/reference", "spoke/takeover"},
	"spoke/helm/job":            {"pkg/fleet", "pkg/flux"},
	"spoke/helm/process":        {"pkg/confine", "pkg/fleet", "spoke/helm", "spoke/helm/job"},
	"spoke/helm/sdk":            {"pkg/*", "spoke/health", "spoke/helm/job"},
	"spoke/hold":                {"pkg/fleet", "spoke/drift"},
	"spoke/inventory":           {"pkg/fleet"},
	"spoke/lease":               {"pkg/run", "pkg/telemetry"},
	"spoke/reference":           {"pkg/fleet", "pkg/run", "spoke/drift"},
	"spoke/session":             {"pkg/*", "proto/flotilla/spoke/v1"},
	"spoke/takeover":            {"pkg/fleet", "pkg/run", "spoke/apply", "spoke/drift"},
	"spoke/worker":              {"pkg/*"},
	"spoke/cmd/flotilla-spoke":  {"pkg/*", "spoke"},
	"spoke/cmd/flotilla-helm":   {"spoke/helm/sdk"},

	// Real parts for tests, benchmarks and the demo, which know Flotilla from outside: by its binaries.
	"test/arch":  {},
	"test/bench": {"hub/rollout", "hub/store", "pkg/*", "proto/flotilla/admin/v1", "test/crowd", "test/lab"}, // the store, for what no API tells
	"test/crowd": {"pkg/*", "proto/flotilla/admin/v1", "spoke/session", "test/lab"},
	"test/demo":  {"pkg/disk", "test/lab"},
	"test/e2e":   {"test/lab"},
	"test/lab":   {"pkg/disk", "pkg/postgres", "pkg/run"},
	"test/setup": {"test/lab"},
}

// unlinked are modules, or parts of them, that a package must not link, not even through others.
var unlinked = map[string][]string{
	// It starts in 50 ms, and what needs a cluster is another program's work.
	"hub/cmd/fleetctl": {"k8s.io/client-go", "helm.sh/helm", "github.com/getsops/sops", "github.com/google/cel-go"},
	// Helm's SDK is in flotilla-helm: a spoke without a HelmRelease does not pay for it.
	"spoke/cmd/flotilla-spoke": {"helm.sh/helm"},
}

// indirect are modules that a package may link through others and must not import itself.
var indirect = map[string][]string{
	// It builds as the hub does, by pkg/build.
	"hub/cmd/fleetctl": {"sigs.k8s.io/kustomize"},
}

// vague names say nothing of what a package owns.
var vague = []string{"util", "utils", "common", "helper", "helpers", "types", "manager"}
