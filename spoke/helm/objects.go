package helm

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"

	"k8s.io/apimachinery/pkg/util/yaml"

	"flotilla.dev/flotilla/pkg/fleet"
	"flotilla.dev/flotilla/pkg/manifest"
	"flotilla.dev/flotilla/spoke/helm/job"
)

// maxObjects and maxManifest bound what a release may come to that is packed into 1 MiB.
const (
	maxObjects  = 20_000
	maxManifest = 16 << 20
)

// edition is what is read of a version of a release as Helm stores it.
type edition struct {
	Name      string `json:"name"`
	Namespace string `json:"namespace"`
	Version   int    `json:"version"`
	Manifest  string `json:"manifest"`
}

// unpack reads a version out of its Secret. Its chart is passed over without being held.
func unpack(stored []byte) (v edition, err error) {
	into := map[string]any{"name": &v.Name, "namespace": &v.Namespace, "version": &v.Version, "manifest": &v.Manifest}
	err = eachField(stored, func(name string, from *json.Decoder) (taken bool, err error) {
		if into[name] == nil {
			return false, nil
		}
		return true, from.Decode(into[name])
	})
	if err == nil && len(v.Manifest) > maxManifest {
		err = fmt.Errorf("%w: its manifest has more than %d MiB", fleet.ErrInvalid, maxManifest>>20)
	}
	return v, err
}

// content is an object as it was applied.
type content struct {
	ref  fleet.ObjectRef
	data []byte
	// document is which of the manifest's it is of.
	document int
}

// each gives, one at a time, the objects that a version applies: neither its hooks nor what a chart has in crds/ is among them.
// They are canonical, and have the labels and annotations that Helm puts on them.
func (v edition) each(take func(content) error) error {
	n := 0
	return v.documents(func(document []byte, number int) error {
		found, err := v.parse(document, number, n)
		for _, c := range found {
			if err == nil {
				err = take(c)
			}
		}
		n += len(found)
		return err
	})
}

// documents gives those of the manifest one at a time, as they are written.
func (v edition) documents(take func(document []byte, number int) error) error {
	documents := yaml.NewYAMLReader(bufio.NewReader(strings.NewReader(v.Manifest)))
	for number := 0; ; number++ {
		document, err := documents.Read()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("%w: its manifest cannot be split", fleet.ErrInvalid)
		}
		if err := take(document, number); err != nil {
			return err
		}
	}
}

// parse is what a document has, before which there were n objects.
func (v edition) parse(document []byte, number, n int) (found []content, err error) {
	object, err := manifest.Parse(document)
	if err != nil {
		return nil, fmt.Errorf("%w: object %d of its manifest cannot be read", fleet.ErrInvalid, n+1)
	}
	if found, err = v.add(nil, object, n); err != nil {
		return nil, err
	}
	for i := range found {
		found[i].document = number
	}
	return found, nil
}

// add takes in an object, or those of a list.
func (v edition) add(all []content, object map[string]any, n int) ([]content, error) {
	if object == nil {
		return all, nil
	}
	kind, _ := object["kind"].(string)
	if items, isList := object["items"].([]any); isList && strings.HasSuffix(kind, "List") {
		for _, item := range items {
			one, _ := item.(map[string]any)
			var err error
			if all, err = v.add(all, one, n); err != nil {
				return nil, err
			}
		}
		return all, nil
	}
	metadata, _ := object["metadata"].(map[string]any)
	name, _ := metadata["name"].(string)
	apiVersion, _ := object["apiVersion"].(string)
	if name == "" || kind == "" || apiVersion == "" {
		return nil, fmt.Errorf("%w: object %d of its manifest has no apiVersion, kind or name", fleet.ErrInvalid, n+len(all)+1)
	}
	if n+len(all) == maxObjects {
		return nil, fmt.Errorf("%w: it has more than %d objects", fleet.ErrInvalid, maxObjects)
	}
	job.Mark(metadata, v.Name, v.Namespace)
	data, err := manifest.Canonical(object)
	if err != nil {
		return nil, fmt.Errorf("%w: object %d of its manifest cannot be written", fleet.ErrInvalid, n+len(all)+1)
	}
	ref := fleet.ObjectRef{Version: apiVersion, Kind: kind, Name: name}
	if group, of, grouped := strings.Cut(apiVersion, "/"); grouped {
		ref.Group, ref.Version = group, of
	}
	ref.Namespace, _ = metadata["namespace"].(string)
	return append(all, content{ref: ref, data: data}), nil
}
