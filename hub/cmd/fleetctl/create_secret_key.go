package main

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"net"

	"github.com/spf13/cobra"
	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/knownhosts"
)

// keyOptions say which key is made.
type keyOptions struct {
	algorithm, curve string
	bits             int
}

// curves by the names that Flux's client has for them.
var curves = map[string]elliptic.Curve{"p256": elliptic.P256(), "p384": elliptic.P384(), "p521": elliptic.P521()}

func (o *keyOptions) addFlags(cmd *cobra.Command) {
	cmd.Flags().StringVar(&o.algorithm, "ssh-key-algorithm", "ecdsa", "ed25519, ecdsa or rsa: the key that is made for ssh")
	cmd.Flags().StringVar(&o.curve, "ssh-ecdsa-curve", "p384", "p256, p384 or p521")
	cmd.Flags().IntVar(&o.bits, "ssh-rsa-bits", 2048, "from 2048 to 8192, a multiple of 8")
}

// generate makes a key: the private one as PEM, the public one as a line of authorized_keys.
func (o *keyOptions) generate(cmd *cobra.Command) (private, public string, err error) {
	var key crypto.Signer
	switch o.algorithm {
	case "ed25519":
		_, key, err = ed25519.GenerateKey(rand.Reader)
	case "ecdsa":
		curve, known := curves[o.curve]
		if !known {
			return "", "", usagef(cmd, "--ssh-ecdsa-curve %q is not p256, p384 or p521", o.curve)
		}
		key, err = ecdsa.GenerateKey(curve, rand.Reader)
	case "rsa":
		if o.bits < 2048 || o.bits > 8192 || o.bits%8 != 0 {
			return "", "", usagef(cmd, "--ssh-rsa-bits %d is not from 2048 to 8192 and a multiple of 8", o.bits)
		}
		key, err = rsa.GenerateKey(rand.Reader, o.bits)
	default:
		return "", "", usagef(cmd, "--ssh-key-algorithm %q is not ed25519, ecdsa or rsa", o.algorithm)
	}
	if err != nil {
		return "", "", err
	}
	encoded, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return "", "", err
	}
	shown, err := ssh.NewPublicKey(key.Public())
	if err != nil {
		return "", "", err
	}
	private = string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: encoded}))
	return private, string(ssh.MarshalAuthorizedKey(shown)), nil
}

// publicKey is that of a private key, which a passphrase may protect.
func publicKey(cmd *cobra.Command, private, passphrase string) (string, error) {
	var signer ssh.Signer
	var err error
	if passphrase == "" {
		signer, err = ssh.ParsePrivateKey([]byte(private))
	} else {
		signer, err = ssh.ParsePrivateKeyWithPassphrase([]byte(private), []byte(passphrase))
	}
	var locked *ssh.PassphraseMissingError
	switch {
	case errors.As(err, &locked):
		return "", usagef(cmd, "--private-key-file: the key has a passphrase: give it with --password")
	case err != nil: // without its text, which may tell of the key
		return "", usagef(cmd, "--private-key-file: it is no private key, or the passphrase is not its")
	}
	return string(ssh.MarshalAuthorizedKey(signer.PublicKey())), nil
}

// scanHostKey asks a server for its host key, which is a line of known_hosts.
func (a *app) scanHostKey(ctx context.Context, host string) (string, error) {
	if _, _, err := net.SplitHostPort(host); err != nil {
		host = net.JoinHostPort(host, "22")
	}
	ctx, cancel := a.bounded(ctx, callTimeout)
	defer cancel()
	conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", host)
	if err != nil {
		return "", &failure{code: exitUnreachable, what: "cannot reach " + host + " for its host key", why: err.Error(), next: "check the host in --url"}
	}
	stop := context.AfterFunc(ctx, func() { _ = conn.Close() }) // ends what is under way
	defer stop()
	defer conn.Close()
	line := ""
	config := &ssh.ClientConfig{HostKeyCallback: func(address string, _ net.Addr, key ssh.PublicKey) error {
		line = knownhosts.Line([]string{knownhosts.Normalize(address)}, key)
		return errSeen
	}}
	_, _, _, err = ssh.NewClientConn(conn, host, config)
	switch {
	case line != "":
		return line, nil
	case ctx.Err() != nil:
		return "", ctx.Err()
	}
	return "", &failure{code: exitUnreachable, what: host + " shows no host key", why: err.Error(), next: "is an SSH server there?"}
}

// errSeen ends a handshake that was only for the host key.
var errSeen = errors.New("the host key was seen")
