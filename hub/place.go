package hub

import (
	"errors"
	"fmt"
	"os"
	"strings"

	"flotilla.dev/flotilla/hub/store"
	"flotilla.dev/flotilla/pkg/identity"
)

// store is what the Store is opened with.
func (c Config) store(url string, root identity.Root) store.Config {
	config := store.Config{URL: url, Sealer: root, KeyFingerprint: root.Fingerprint(), CrossNamespaceRefs: c.AllowCrossNamespaceRefs, Log: c.Log}
	if objects, err := c.objects(c.Blobs); err == nil {
		config.Objects = objects // Validate said what is wrong
	}
	return config
}

// objects is the object storage of a URL, with the credential; nil for none.
func (c Config) objects(url string) (*store.Objects, error) {
	if url == "" {
		return nil, nil
	}
	objects, err := store.ParseObjects(url)
	if err != nil {
		return nil, err
	}
	objects.AccessKey, objects.SecretKey = c.BlobsAccessKey, c.BlobsSecretKey
	if c.BlobsCredentialFile != "" {
		text, err := os.ReadFile(c.BlobsCredentialFile)
		if err != nil {
			return nil, fmt.Errorf("--blobs-credential-file: %w", err)
		}
		lines := strings.Split(strings.TrimSpace(string(text)), "\n")
		if len(lines) != 2 {
			return nil, fmt.Errorf("--blobs-credential-file %s has not two lines, the access key and the secret key", c.BlobsCredentialFile)
		}
		objects.AccessKey, objects.SecretKey = strings.TrimSpace(lines[0]), strings.TrimSpace(lines[1])
	}
	if objects.AccessKey == "" || objects.SecretKey == "" {
		return nil, errors.New("it needs a credential: set FLOTILLA_BLOBS_ACCESS_KEY and FLOTILLA_BLOBS_SECRET_KEY, or --blobs-credential-file")
	}
	return &objects, nil
}

func (c Config) blobsProblems() []error {
	var errs []error
	if c.BlobsCredentialFile != "" && (c.BlobsAccessKey != "" || c.BlobsSecretKey != "") {
		errs = append(errs, errors.New("--blobs-credential-file and FLOTILLA_BLOBS_ACCESS_KEY: give one of them"))
	}
	if _, err := c.objects(c.Blobs); err != nil {
		errs = append(errs, fmt.Errorf("--blobs: %w", err))
	}
	return errs
}

// keyProblems says what is wrong with where the key is.
func (c Config) keyProblems() []error {
	given := 0
	for _, place := range []string{c.KeyFile, c.Key, c.KeySecret} {
		if place != "" {
			given++
		}
	}
	var errs []error
	if given > 1 {
		errs = append(errs, errors.New("the key is given twice: of --key-file, FLOTILLA_KEY and --key-secret give one"))
	}
	if c.Key != "" {
		if _, err := identity.ParseKey(c.Key); err != nil {
			errs = append(errs, fmt.Errorf("FLOTILLA_KEY: %w", err))
		}
	}
	if c.KeySecret != "" {
		if _, err := parseSecretReference(c.KeySecret); err != nil {
			errs = append(errs, err)
		}
	}
	if c.Kubeconfig != "" && c.KeySecret == "" {
		errs = append(errs, errors.New("--kubeconfig says nothing without --key-secret"))
	}
	return errs
}
