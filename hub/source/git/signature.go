package git

import (
	"bytes"
	"crypto"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/base64"
	"errors"
	"fmt"
	"hash"
	"maps"
	"slices"
	"strings"

	"github.com/ProtonMail/go-crypto/openpgp"
	pgperrors "github.com/ProtonMail/go-crypto/openpgp/errors"
	"github.com/ProtonMail/go-crypto/openpgp/packet"
	"golang.org/x/crypto/ssh"

	"flotilla.dev/flotilla/hub/source"
)

// trusted are the public keys that signatures may be of.
type trusted struct {
	pgp openpgp.EntityList
	ssh []ssh.PublicKey
}

// maxKeys bounds what a Secret holds of keys.
const maxKeys = 1 << 20

// readTrusted reads the keys of a Secret by the suffixes that Flux has for their sorts. Its errors name the Secret's key.
func readTrusted(secret map[string][]byte) (*trusted, error) {
	t := &trusted{}
	for _, name := range slices.Sorted(maps.Keys(secret)) {
		data := secret[name]
		switch {
		case len(data) > maxKeys:
			return nil, problem(fmt.Sprintf("%s of the Secret is larger than 1 MiB", source.Shown(name)))
		case strings.HasSuffix(name, ".asc"):
			keys, err := openpgp.ReadArmoredKeyRing(bytes.NewReader(data))
			if err != nil || len(keys) == 0 {
				return nil, problem(fmt.Sprintf("%s of the Secret is not a PGP public key in armor, as gpg --export --armor prints it", source.Shown(name)))
			}
			t.pgp = append(t.pgp, keys...)
		case strings.HasSuffix(name, ".sshpub"):
			keys, err := readSSHKeys(data)
			if err != nil {
				return nil, problem(fmt.Sprintf("%s of the Secret is not a list of SSH public keys, one a line", source.Shown(name)))
			}
			t.ssh = append(t.ssh, keys...)
		}
	}
	if len(t.pgp)+len(t.ssh) == 0 {
		return nil, problem("the Secret has no public keys: PGP keys are under keys that end in .asc, SSH keys under ones that end in .sshpub")
	}
	return t, nil
}

func readSSHKeys(data []byte) ([]ssh.PublicKey, error) {
	var keys []ssh.PublicKey
	for line := range strings.SplitSeq(string(data), "\n") {
		if line = strings.TrimSpace(line); line == "" || line[0] == '#' {
			continue
		}
		key, _, _, _, err := ssh.ParseAuthorizedKey([]byte(line))
		if err != nil {
			return nil, err
		}
		keys = append(keys, key)
	}
	return keys, nil
}

// What signatures begin with.
const (
	beginPGP = "-----BEGIN PGP SIGNATURE-----"
	beginSSH = "-----BEGIN SSH SIGNATURE-----"
	endSSH   = "-----END SSH SIGNATURE-----"
)

// verify returns which key has signed the payload. Its errors say what is wrong, for people.
func (t *trusted) verify(payload []byte, signature string) (key string, err error) {
	signature = strings.TrimSpace(signature)
	if strings.Count(signature, "-----BEGIN ") > 1 {
		return "", errors.New("it has more than one signature")
	}
	switch {
	case signature == "":
		return "", errors.New("it is not signed")
	case strings.HasPrefix(signature, beginPGP) && len(t.pgp) == 0:
		return "", errors.New("it is signed by PGP, and the Secret has no PGP key (a key that ends in .asc)")
	case strings.HasPrefix(signature, beginPGP):
		return t.verifyPGP(payload, signature)
	case strings.HasPrefix(signature, beginSSH) && len(t.ssh) == 0:
		return "", errors.New("it is signed by SSH, and the Secret has no SSH key (a key that ends in .sshpub)")
	case strings.HasPrefix(signature, beginSSH):
		return t.verifySSH(payload, signature)
	}
	return "", errors.New("its signature is of a sort that is not supported (PGP and SSH are)")
}

func (t *trusted) verifyPGP(payload []byte, signature string) (string, error) {
	signer, err := openpgp.CheckArmoredDetachedSignature(t.pgp, bytes.NewReader(payload), strings.NewReader(signature), &packet.Config{
		// Collisions of these can be made.
		RejectHashAlgorithms: map[crypto.Hash]bool{crypto.SHA1: true, crypto.MD5: true, crypto.RIPEMD160: true},
	})
	switch {
	case err == nil && signer != nil:
		return signer.PrimaryKey.KeyIdString(), nil
	case errors.Is(err, pgperrors.ErrUnknownIssuer):
		return "", errors.New("none of the Secret's PGP keys has signed it")
	case errors.Is(err, pgperrors.ErrKeyExpired):
		return "", errors.New("the PGP key that has signed it had ended")
	case errors.Is(err, pgperrors.ErrKeyRevoked):
		return "", errors.New("the PGP key that has signed it is revoked")
	case errors.Is(err, pgperrors.ErrSignatureExpired):
		return "", errors.New("its PGP signature has ended")
	}
	return "", errors.New("its PGP signature does not fit what it has: it was changed after it was signed, or the signature is malformed")
}

// sshSignature is the binary form (OpenSSH, PROTOCOL.sshsig).
type sshSignature struct {
	Magic     [6]byte
	Version   uint32
	PublicKey []byte
	Namespace string
	Reserved  string
	Hash      string
	Signature []byte
}

func (t *trusted) verifySSH(payload []byte, armored string) (string, error) {
	malformed := errors.New("its SSH signature is malformed")
	body, found := strings.CutPrefix(armored, beginSSH)
	body, ended := strings.CutSuffix(body, endSSH)
	raw, err := base64.StdEncoding.DecodeString(strings.Join(strings.Fields(body), ""))
	if err != nil || !found || !ended {
		return "", malformed
	}
	var s sshSignature
	if ssh.Unmarshal(raw, &s) != nil || string(s.Magic[:]) != "SSHSIG" || s.Version != 1 {
		return "", malformed
	}
	if s.Namespace != "git" {
		return "", errors.New("its SSH signature was made for something else than Git")
	}
	key, err := ssh.ParsePublicKey(s.PublicKey)
	if err != nil {
		return "", malformed
	}
	if !holds(t.ssh, key) {
		return "", fmt.Errorf("none of the Secret's SSH keys has signed it, but %s", ssh.FingerprintSHA256(key))
	}
	var sum hash.Hash
	switch s.Hash {
	case "sha256":
		sum = sha256.New()
	case "sha512":
		sum = sha512.New()
	default:
		return "", malformed
	}
	_, _ = sum.Write(payload) // a hash never fails
	var signature ssh.Signature
	if ssh.Unmarshal(s.Signature, &signature) != nil || signature.Format == ssh.KeyAlgoRSA { // RSA with SHA-1
		return "", malformed
	}
	signed := append([]byte("SSHSIG"), ssh.Marshal(struct {
		Namespace, Reserved, Hash string
		Sum                       []byte
	}{s.Namespace, s.Reserved, s.Hash, sum.Sum(nil)})...)
	if key.Verify(signed, &signature) != nil {
		return "", errors.New("its SSH signature does not fit what it has: it was changed after it was signed")
	}
	return ssh.FingerprintSHA256(key), nil
}
