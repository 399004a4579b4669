package deploy

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"sigs.k8s.io/yaml"

	"flotilla.dev/flotilla/pkg/fleet"
	"flotilla.dev/flotilla/pkg/manifest"
	"flotilla.dev/flotilla/spoke/decrypt"
	"flotilla.dev/flotilla/spoke/reference"
)

// keyData is what an App's decryption keys are made of. It is in memory only.
type keyData struct {
	source string
	values map[string]string
}

// readKeys reads the keys of an App that has something to decrypt; nil: there is nothing.
func (e *Engine) readKeys(ctx context.Context, t Target, read *[]reference.Reading) (*keyData, error) {
	encrypted := slices.ContainsFunc(t.Manifest.Entries, func(entry manifest.Entry) bool { return entry.Encrypted || entry.Part })
	switch d := t.Release.Decryption; {
	case !encrypted:
		return nil, nil
	case d == nil:
		return nil, fmt.Errorf("%w: something of it is encrypted, and it has no spec.decryption", fleet.ErrInvalid)
	case d.SecretRef == nil:
		return &keyData{source: "spec.decryption, which names no secretRef,"}, nil
	}
	ref := fleet.ObjectRef{Version: "v1", Kind: "Secret", Namespace: t.App.Namespace, Name: t.Release.Decryption.SecretRef.Name}
	values, version, err := e.readData(ctx, ref)
	absent := errors.Is(err, fleet.ErrNotFound)
	if err == nil || absent {
		*read = append(*read, reference.Reading{Ref: ref, Version: version})
	}
	switch {
	case absent:
		return nil, fmt.Errorf("spec.decryption.secretRef: %s is not there: create it in this cluster, with the keys: %w", ref, fleet.ErrNotFound)
	case err != nil:
		return nil, fmt.Errorf("spec.decryption.secretRef: %w", err)
	}
	return &keyData{source: ref.String(), values: values}, nil
}

// digest tells keys apart.
func (k *keyData) digest() *fleet.Digest {
	if k == nil {
		return nil
	}
	data, err := json.Marshal([]any{k.source, k.values})
	if err != nil {
		panic(fmt.Sprintf("encode keys: %v", err)) // strings always encode
	}
	digest := fleet.DigestOf(data)
	return &digest
}

func (k *keyData) parse() (*decrypt.Keys, error) {
	data := make(map[string][]byte, len(k.values))
	for name, value := range k.values {
		data[name] = []byte(value)
	}
	keys, err := decrypt.Parse(k.source, data)
	if err != nil {
		return nil, fmt.Errorf("spec.decryption.secretRef: %w", err)
	}
	return keys, nil
}

// plain decrypts a document, into one that reads as kustomize prints it: variables are put into that text.
func (in *inputs) plain(ctx context.Context, document []byte) ([]byte, error) {
	if in.keys == nil {
		return nil, fmt.Errorf("%w: it is encrypted, and the App has no spec.decryption", fleet.ErrInvalid)
	}
	object, err := in.keys.Object(ctx, document)
	if err != nil {
		return nil, err
	}
	text, err := yaml.JSONToYAML(object)
	if err != nil {
		return nil, fmt.Errorf("%w: decrypted it is not an object any more", fleet.ErrInvalid) // the cause would show a part of it
	}
	return text, nil
}
