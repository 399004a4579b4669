package lab

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha512"
	"encoding/pem"
	"fmt"
	"strings"
	"testing"

	"golang.org/x/crypto/ssh"
)

// SSHKey is a pair of keys of SSH.
type SSHKey struct {
	private crypto.Signer
	signer  ssh.Signer
}

// SSHKinds are the kinds of keys that NewSSHKey makes.
var SSHKinds = []string{"ed25519", "ecdsa256", "ecdsa384", "ecdsa521", "rsa"}

// NewSSHKey makes a pair of a kind.
func NewSSHKey(kind string) (*SSHKey, error) {
	private, err := newPrivateKey(kind)
	if err != nil {
		return nil, err
	}
	signer, err := ssh.NewSignerFromSigner(private)
	return &SSHKey{private, signer}, err
}

func newPrivateKey(kind string) (crypto.Signer, error) {
	switch kind {
	case "ed25519":
		_, private, err := ed25519.GenerateKey(rand.Reader)
		return private, err
	case "ecdsa256":
		return ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	case "ecdsa384":
		return ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	case "ecdsa521":
		return ecdsa.GenerateKey(elliptic.P521(), rand.Reader)
	case "rsa":
		return rsa.GenerateKey(rand.Reader, 2048)
	}
	return nil, fmt.Errorf("no keys of kind %q; there are %s", kind, strings.Join(SSHKinds, ", "))
}

// TestSSHKey is a pair of the test's own.
func TestSSHKey(t testing.TB, kind string) *SSHKey {
	t.Helper()
	key, err := NewSSHKey(kind)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// Private is the private key as ssh-keygen writes it, under a passphrase unless that is empty.
func (k *SSHKey) Private(passphrase string) ([]byte, error) {
	block, err := ssh.MarshalPrivateKey(k.private, "")
	if passphrase != "" {
		block, err = ssh.MarshalPrivateKeyWithPassphrase(k.private, "", []byte(passphrase))
	}
	if err != nil {
		return nil, err
	}
	return pem.EncodeToMemory(block), nil
}

// Public is the public key as in an authorized_keys file, without a line break.
func (k *SSHKey) Public() string {
	return strings.TrimSpace(string(ssh.MarshalAuthorizedKey(k.signer.PublicKey())))
}

// Fingerprint is SHA256:..., as ssh-keygen shows it.
func (k *SSHKey) Fingerprint() string { return ssh.FingerprintSHA256(k.signer.PublicKey()) }

// Sign returns an armored signature as Git has it made (ssh-keygen -Y sign -n git).
func (k *SSHKey) Sign(message []byte) (string, error) { return k.SignFor("git", message) }

// SignFor signs for another purpose than Git's. The form is that of OpenSSH's PROTOCOL.sshsig.
func (k *SSHKey) SignFor(namespace string, message []byte) (string, error) {
	hash := sha512.Sum512(message)
	toSign := append([]byte("SSHSIG"), ssh.Marshal(struct{ Namespace, Reserved, Algorithm, Hash string }{
		namespace, "", "sha512", string(hash[:]),
	})...)
	signature, err := k.sign(toSign)
	if err != nil {
		return "", err
	}
	blob := append([]byte("SSHSIG"), ssh.Marshal(struct {
		Version                                              uint32
		PublicKey, Namespace, Reserved, Algorithm, Signature string
	}{1, string(k.signer.PublicKey().Marshal()), namespace, "", "sha512", string(ssh.Marshal(signature))})...)
	return string(pem.EncodeToMemory(&pem.Block{Type: "SSH SIGNATURE", Bytes: blob})), nil
}

// sign uses SHA-512 with RSA, which alone is allowed there.
func (k *SSHKey) sign(data []byte) (*ssh.Signature, error) {
	if algorithms, ok := k.signer.(ssh.AlgorithmSigner); ok && k.signer.PublicKey().Type() == ssh.KeyAlgoRSA {
		return algorithms.SignWithAlgorithm(rand.Reader, data, ssh.KeyAlgoRSASHA512)
	}
	return k.signer.Sign(rand.Reader, data)
}
