package flux

// Notes are what is to be known of a field beside what Flux says of it, by kind and field.
var Notes = map[string]string{
	"Kustomization.timeout":            "one below 30 s counts as it is; Flux makes 30 s of it",
	"Kustomization.sourceRef":          "of another namespace where the hub is started with `--allow-cross-namespace-refs`",
	"Kustomization.dependsOn":          "cycles are refused; `readyExpr` sees no revisions; the annotation `fleet.flotilla.dev/depends-on` names Apps of any kind",
	"Kustomization.decryption":         "SOPS with age and PGP keys from a Secret of the cluster, of objects, values of Secrets, and files of generators and patches; cloud key services in a spoke built with `-tags cloudkms`",
	"HelmRelease.chart":                "a HelmChart is made of it, as Flux does, that goes with the HelmRelease; a source of another namespace where the hub is started with `--allow-cross-namespace-refs`",
	"HelmRelease.chartRef":             "of another namespace where the hub is started with `--allow-cross-namespace-refs`",
	"HelmRelease.dependsOn":            "cycles are refused; `readyExpr` sees no revisions; the annotation `fleet.flotilla.dev/depends-on` names Apps of any kind",
	"HelmRelease.values":               "a Placement's `values` go over them; the annotation `fleet.flotilla.dev/substitute-values: enabled` has the cluster's variables put into them; up to 1 MiB; a number of more than 40 digits, written out in full (`1e100` has 101), is refused: quote it",
	"HelmRelease.install":              "`timeout` and `strategy.retryInterval` are controls; the API server validates in any case, so that `disableOpenAPIValidation` spares nothing",
	"HelmRelease.upgrade":              "`timeout` and `strategy.retryInterval` are controls; the API server validates in any case, so that `disableOpenAPIValidation` spares nothing",
	"HelmRelease.test":                 "`timeout` is a control",
	"HelmRelease.rollback":             "`timeout` is a control; `recreate` says nothing, as in Flux",
	"HelmRelease.uninstall":            "`timeout` is a control",
	"GitRepository.timeout":            longestFetch,
	"GitRepository.provider":           "`aws` is refused, with what to do instead; the hub's identity is used where a Credential grants it",
	"OCIRepository.timeout":            longestFetch,
	"OCIRepository.provider":           granted,
	"OCIRepository.serviceAccountName": "its `imagePullSecrets` count",
	"Bucket.timeout":                   longestFetch,
	"Bucket.provider":                  granted,
	"HelmRepository.timeout":           longestFetch,
	"HelmRepository.provider":          granted,
	"Receiver.interval":                "taken; the path follows the Secret at once",
	"Receiver.events":                  "refused for types whose calls name none",
	"Receiver.resources":               "sources and Apps; of other namespaces where the hub is started with `--allow-cross-namespace-refs`",
}

const (
	longestFetch = "one of more than 15 minutes counts as 15"
	granted      = "the hub's identity is used where a Credential grants it"
)
