package main

import (
	"crypto/tls"
	"crypto/x509"

	"github.com/spf13/cobra"
)

// helmCredential is what it takes to reach a Helm repository, or whatever speaks TLS.
type helmCredential struct {
	username, password        string
	certFlag, keyFlag, caFlag string
	cmd                       *cobra.Command
}

func newCreateSecretHelmCommand(a *app) *cobra.Command {
	var o helmCredential
	cmd := a.secretCommand(&cobra.Command{
		Use:   "helm NAME",
		Short: "Make a Secret for a Helm repository",
		Example: `  fleetctl create secret helm repo --username user --password "$PASSWORD"
  fleetctl create secret helm repo --username user --password "$PASSWORD" --ca-crt-file ca.crt --export`,
	}, func(cmd *cobra.Command) (string, map[string]string, error) {
		if !o.any() {
			return "", nil, usagef(cmd, "--username and --password, or --tls-crt-file and --tls-key-file, or --ca-crt-file are required")
		}
		return o.content(cmd)
	})
	o.addFlags(cmd, "tls-crt-file", "tls-key-file", "ca-crt-file")
	return cmd
}

func (o *helmCredential) addFlags(cmd *cobra.Command, certFlag, keyFlag, caFlag string) {
	cmd.Flags().StringVarP(&o.username, "username", "u", "", "user name")
	cmd.Flags().StringVarP(&o.password, "password", "p", "", "password")
	o.addFiles(cmd, certFlag, keyFlag, caFlag)
}

func (o *helmCredential) addFiles(cmd *cobra.Command, certFlag, keyFlag, caFlag string) {
	o.cmd, o.certFlag, o.keyFlag, o.caFlag = cmd, certFlag, keyFlag, caFlag
	cmd.Flags().String(certFlag, "", "file with the client's certificate")
	cmd.Flags().String(keyFlag, "", "file with the client's private key")
	cmd.Flags().String(caFlag, "", "file with the authorities that the server's certificate may be from")
}

// any reports whether anything is given.
func (o *helmCredential) any() bool {
	changed := o.cmd.Flags().Changed
	return o.username != "" || o.password != "" || changed(o.certFlag) || changed(o.keyFlag) || changed(o.caFlag)
}

// content is the Secret's, of the type that it has in Flux: a client's certificate before a password.
func (o *helmCredential) content(cmd *cobra.Command) (kind string, values map[string]string, err error) {
	cert, err := readSecretFile(cmd, o.certFlag)
	if err != nil {
		return "", nil, err
	}
	key, err := readSecretFile(cmd, o.keyFlag)
	if err != nil {
		return "", nil, err
	}
	ca, err := readSecretFile(cmd, o.caFlag)
	if err != nil {
		return "", nil, err
	}
	if ca != "" && !x509.NewCertPool().AppendCertsFromPEM([]byte(ca)) {
		return "", nil, usagef(cmd, "--%s: there is no certificate in it", o.caFlag)
	}
	values = map[string]string{}
	set(values, "ca.crt", ca)
	switch {
	case (cert == "") != (key == ""):
		return "", nil, usagef(cmd, "--%s and --%s go together", o.certFlag, o.keyFlag)
	case (o.username == "") != (o.password == ""):
		return "", nil, usagef(cmd, "--username and --password go together")
	case cert != "" && o.username != "":
		return "", nil, usagef(cmd, "a certificate of the client and a password do not go into one Secret: make one for each")
	case cert != "":
		if _, err := tls.X509KeyPair([]byte(cert), []byte(key)); err != nil { // without its text, which may tell of the key
			return "", nil, usagef(cmd, "--%s and --%s are not a certificate and its key", o.certFlag, o.keyFlag)
		}
		values["tls.crt"], values["tls.key"] = cert, key
		return tlsSecret, values, nil
	case o.username != "":
		values["username"], values["password"] = o.username, o.password
		return basicSecret, values, nil
	}
	return opaqueSecret, values, nil
}
