package helm

import (
	"bytes"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/ProtonMail/go-crypto/openpgp"
	"github.com/ProtonMail/go-crypto/openpgp/armor"
	helmprovenance "helm.sh/helm/v4/pkg/provenance"

	"flotilla.dev/flotilla/hub/source"
	"flotilla.dev/flotilla/pkg/flux"
)

// maxProvenance is the bytes of a provenance file: a Chart.yaml, a digest and a signature.
const maxProvenance = 256 << 10

// provenance verifies the files that helm package --sign puts beside charts.
type provenance struct {
	keys openpgp.EntityList
}

// newProvenance takes the PGP public keys of the Secret of verify.secretRef; nil: nothing is to be verified.
func newProvenance(verify *flux.OCIVerify, secret map[string][]byte) (*provenance, error) {
	switch {
	case verify == nil:
		return nil, nil
	case verify.Provider == flux.Notation, len(verify.MatchOIDCIdentity) > 0:
		return nil, &problem{source.KindInvalid, "spec.verify: notation and keyless signatures are of charts in a registry; of one over HTTP the provenance file is verified, by the PGP keys of secretRef"}
	case verify.SecretRef == nil:
		return nil, &problem{source.KindInvalid, "spec.verify.secretRef: is required for a chart over HTTP: a Secret with the signers' PGP public keys (keys *.asc or *.gpg)"}
	}
	p := &provenance{}
	for _, name := range slices.Sorted(maps.Keys(secret)) {
		if !strings.HasSuffix(name, ".asc") && !strings.HasSuffix(name, ".gpg") {
			continue
		}
		keys, err := keyRing(secret[name])
		if err != nil || len(keys) == 0 {
			return nil, &problem{source.KindSignature, fmt.Sprintf("key %q of the Secret of spec.verify.secretRef holds no PGP public keys", source.Shown(name))}
		}
		p.keys = append(p.keys, keys...)
	}
	if len(p.keys) == 0 {
		return nil, &problem{source.KindSignature, "the Secret of spec.verify.secretRef has no PGP public keys; give them in keys *.asc or *.gpg"}
	}
	return p, nil
}

// keyRing reads keys, armoured (one block after another) or not.
func keyRing(data []byte) (openpgp.EntityList, error) {
	const begin = "-----BEGIN PGP"
	if !bytes.Contains(data, []byte(begin)) {
		return openpgp.ReadKeyRing(bytes.NewReader(data))
	}
	var all openpgp.EntityList
	for _, text := range strings.Split(string(data), begin)[1:] {
		block, err := armor.Decode(strings.NewReader(begin + text))
		if err != nil {
			return nil, err
		}
		keys, err := openpgp.ReadKeyRing(block.Body)
		if err != nil {
			return nil, err
		}
		all = append(all, keys...)
	}
	return all, nil
}

// check verifies that one of the keys signed the chart's digest under the name of its file, and that it is the chart and the
// version that is wanted: whoever has the repository could give an older one, signed once, the address of a newer.
func (p *provenance) check(chart, signed []byte, file, name, version string) (by string, err error) {
	signatory := &helmprovenance.Signatory{KeyRing: p.keys}
	found, err := signatory.Verify(chart, signed, file)
	if err != nil {
		return "", &problem{source.KindSignature, fmt.Sprintf("the provenance of %s is not by one of the keys of spec.verify.secretRef, or of another chart", source.Shown(file))}
	}
	if want := fileName(name, version); file != want {
		return "", &problem{source.KindSignature, fmt.Sprintf("what is signed is %s, not %s", source.Shown(file), source.Shown(want))}
	}
	fingerprint := fmt.Sprintf("%X", found.SignedBy.PrimaryKey.Fingerprint)
	if identity := found.SignedBy.PrimaryIdentity(); identity != nil {
		return fmt.Sprintf("%s (PGP key %s)", source.Shown(identity.Name), fingerprint), nil
	}
	return "PGP key " + fingerprint, nil
}
