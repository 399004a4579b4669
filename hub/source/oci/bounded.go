package oci

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// What a registry sends is small and may yet be a great many values: `{},{},{}` takes fifty times its size when it is read. So
// lists are read value by value, and only what is looked at of each.

// tooManyError is a list that is too long. It goes on from what has the list.
type tooManyError struct {
	most int
	what string
}

func (e *tooManyError) Error() string { return fmt.Sprintf("has more than %d %s", e.most, e.what) }

// Bounds of lists.
const (
	maxEntries     = 2000
	maxAnnotations = 2000
)

// described is what is read of a descriptor.
type described struct {
	MediaType    string        `json:"mediaType"`
	ArtifactType string        `json:"artifactType"`
	Digest       digest.Digest `json:"digest"`
	Size         int64         `json:"size"`
	Platform     *struct {
		OS           string `json:"os"`
		Architecture string `json:"architecture"`
	} `json:"platform"`
}

func (d described) descriptor() ocispec.Descriptor {
	out := ocispec.Descriptor{MediaType: d.MediaType, ArtifactType: d.ArtifactType, Digest: d.Digest, Size: d.Size}
	if d.Platform != nil {
		out.Platform = &ocispec.Platform{OS: d.Platform.OS, Architecture: d.Platform.Architecture}
	}
	return out
}

type descriptors []ocispec.Descriptor

func (d *descriptors) UnmarshalJSON(data []byte) error {
	return each(data, '[', maxEntries, "layers or manifests", func(decoder *json.Decoder) error {
		var one described
		if err := decoder.Decode(&one); err != nil {
			return err
		}
		*d = append(*d, one.descriptor())
		return nil
	})
}

type names []string

// ofTags is what a list of tags is of.
const ofTags = "names"

func (n *names) UnmarshalJSON(data []byte) error {
	return each(data, '[', maxTags, ofTags, func(decoder *json.Decoder) error {
		var one string
		if err := decoder.Decode(&one); err != nil {
			return err
		}
		*n = append(*n, one)
		return nil
	})
}

type annotations map[string]string

func (a *annotations) UnmarshalJSON(data []byte) error {
	*a = annotations{}
	return each(data, '{', maxAnnotations, "annotations", func(decoder *json.Decoder) error {
		key, err := decoder.Token()
		if err != nil {
			return err
		}
		var value string
		if err := decoder.Decode(&value); err != nil {
			return err
		}
		(*a)[key.(string)] = value // before a colon there is nothing else
		return nil
	})
}

// each has take read the values of a list, or the pairs of an object, at most that many.
func each(data []byte, opens json.Delim, most int, what string, take func(*json.Decoder) error) error {
	decoder := json.NewDecoder(bytes.NewReader(data))
	first, err := decoder.Token()
	if err != nil || first == nil { // null is nothing
		return err
	}
	if first != opens {
		return errors.New("it is no list or object")
	}
	for n := 0; decoder.More(); n++ {
		if n == most {
			return &tooManyError{most, what}
		}
		if err := take(decoder); err != nil {
			return err
		}
	}
	return nil
}
