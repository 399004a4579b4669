package flux

// Notes are what is to be known of a field beside what Flux says of it, by kind and field.
var Notes = map[string]string{
	"Kustomization.timeout":            "one below 30 s counts as it is; Flux makes 30 s of it",
	"Kustomization.sourceRef":          "of another namespace where the hub is started with `--allow-cross-namespace-refs`",
	"Kustomization.dependsOn":          "cycles are refused; `readyExpr` sees no revisions; the annotation `fleet.flotilla.dev/depends-on` names Apps of any kind",
	"Kustomization.decryption":         "SOPS with age and PGP keys from a Secret of the cluster, of objects, values of Secrets, and files of generators and patches; cloud key services in a spoke built with `-tags cloudkms`",
	"GitRepository.timeout":            longest,
	"GitRepository.provider":           "`aws` is refused, with what to do instead; the hub's identity is used where a Credential grants it",
	"OCIRepository.timeout":            longest,
	"OCIRepository.provider":           granted,
	"OCIRepository.serviceAccountName": "its `imagePullSecrets` count",
	"Bucket.timeout":                   longest,
	"Bucket.provider":                  granted,
	"HelmRepository.timeout":           longest,
	"HelmRepository.provider":          granted,
	"Receiver.interval":                "taken; the path follows the Secret at once",
	"Receiver.events":                  "refused for types whose calls name none",
	"Receiver.resources":               "sources and Kustomizations; of other namespaces where the hub is started with `--allow-cross-namespace-refs`",
}

const (
	longest = "one of more than 15 minutes counts as 15"
	granted = "the hub's identity is used where a Credential grants it"
)
