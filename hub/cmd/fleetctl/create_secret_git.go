package main

import (
	"net/url"
	"strings"

	"github.com/spf13/cobra"
)

// gitCredential is what it takes to reach a Git repository.
type gitCredential struct {
	url, username, password, bearerToken string
	privateKeyFile, caFlag               string
	key                                  keyOptions
}

func newCreateSecretGitCommand(a *app) *cobra.Command {
	var o gitCredential
	cmd := a.secretCommand(&cobra.Command{
		Use:   "git NAME",
		Short: "Make a Secret for a Git repository",
		Long: "Make a Secret for a Git repository. Over ssh it has a key, new unless --private-key-file has one, and the host keys\n" +
			"that the server shows now: compare them with those its owner publishes. The public key is told on stderr; it has\n" +
			"to become a deploy key of the repository.",
		Example: `  fleetctl create secret git podinfo --url ssh://git@github.com/stefanprodan/podinfo --ssh-key-algorithm ed25519
  fleetctl create secret git podinfo --url https://github.com/stefanprodan/podinfo --username git --password "$TOKEN"`,
	}, func(cmd *cobra.Command) (string, map[string]string, error) {
		if err := demand(cmd, "url"); err != nil {
			return "", nil, err
		}
		content, err := o.content(cmd, a)
		return "", content, err
	})
	o.addFlags(cmd, "ca-crt-file")
	cmd.Flags().StringVar(&o.bearerToken, "bearer-token", "", "token that is sent as it is")
	return cmd
}

func (o *gitCredential) addFlags(cmd *cobra.Command, caFlag string) {
	o.caFlag = caFlag
	flags := cmd.Flags()
	flags.StringVar(&o.url, "url", "", "address of the repository: ssh, https or http")
	flags.StringVarP(&o.username, "username", "u", "", "user name")
	flags.StringVarP(&o.password, "password", "p", "", "password or token; of ssh, the passphrase of the key")
	flags.String(caFlag, "", "file with the authorities that the server's certificate may be from")
	flags.StringVar(&o.privateKeyFile, "private-key-file", "", "file with a private key for ssh")
	o.key.addFlags(cmd)
}

// any reports whether anything is given but the address.
func (o *gitCredential) any() bool {
	return o.username != "" || o.password != "" || o.bearerToken != "" || o.privateKeyFile != ""
}

// content is the Secret's. A new key is told to the person.
func (o *gitCredential) content(cmd *cobra.Command, a *app) (map[string]string, error) {
	address, err := url.Parse(o.url)
	if err != nil || address.Host == "" {
		return nil, usagef(cmd, "--url is not the address of a repository")
	}
	ca, err := readSecretFile(cmd, o.caFlag)
	if err != nil {
		return nil, err
	}
	switch address.Scheme {
	case "ssh":
		if o.username != "" || o.bearerToken != "" || ca != "" {
			return nil, usagef(cmd, "over ssh there is a key, and no --username, --bearer-token or --%s", o.caFlag)
		}
		return o.sshContent(cmd, a, address.Host)
	case "https", "http":
	default:
		return nil, usagef(cmd, "--url: scheme %q is not ssh, https or http", address.Scheme)
	}
	switch {
	case o.privateKeyFile != "":
		return nil, usagef(cmd, "--private-key-file is for ssh")
	case o.bearerToken != "" && (o.username != "" || o.password != ""):
		return nil, usagef(cmd, "--bearer-token does not go with --username and --password")
	case o.bearerToken == "" && (o.username == "" || o.password == ""):
		return nil, usagef(cmd, "--username and --password, or --bearer-token, are required")
	case address.Scheme == "http":
		a.say(symbolWarn, "over http everybody on the way can read the credential")
	}
	values := map[string]string{}
	set(values, "username", o.username)
	set(values, "password", o.password)
	set(values, "bearerToken", o.bearerToken)
	set(values, "ca.crt", ca)
	return values, nil
}

func (o *gitCredential) sshContent(cmd *cobra.Command, a *app, host string) (map[string]string, error) {
	private, err := readSecretFile(cmd, "private-key-file")
	if err != nil {
		return nil, err
	}
	var public string
	if private != "" {
		public, err = publicKey(cmd, private, o.password)
	} else {
		private, public, err = o.key.generate(cmd)
	}
	if err != nil {
		return nil, err
	}
	a.say(symbolDo, "asking %s for its host key", host)
	known, err := a.scanHostKey(cmd.Context(), host)
	if err != nil {
		return nil, err
	}
	a.say(symbolDone, "host key: %s", known)
	a.say(symbolDone, "deploy key: %s", strings.TrimSpace(public))
	values := map[string]string{"identity": private, "identity.pub": public, "known_hosts": known}
	if o.privateKeyFile != "" {
		set(values, "password", o.password)
	}
	return values, nil
}
