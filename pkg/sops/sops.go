// Package sops knows documents that SOPS has encrypted when it sees them, and by name the format they are written in:
// what the hub, which never decrypts, has to know of them. The rules are Flux's (kustomize-controller, decryptor).
package sops

import (
	"bytes"
	"encoding/base64"
	"strings"
)

// Format is how an encrypted document is written, by SOPS's name for it.
type Format string

// The formats. Binary is any content, wrapped in JSON while it is encrypted.
const (
	Binary Format = "binary"
	Dotenv Format = "dotenv"
	INI    Format = "ini"
	JSON   Format = "json"
	YAML   Format = "yaml"
)

// FormatOf returns the format that the name of a file, or of a key of a Secret, says. That of an image pull secret is JSON.
func FormatOf(name string) Format {
	for _, known := range []struct {
		suffix string
		format Format
	}{
		{".yaml", YAML}, {".yml", YAML}, {".json", JSON}, {".dockerconfigjson", JSON}, {".env", Dotenv}, {".ini", INI},
	} {
		if strings.HasSuffix(name, known.suffix) {
			return known.format
		}
	}
	return Binary
}

// marks are what encrypted documents have in them, in the order in which Detect looks. The format of encrypted binary
// content is JSON.
var marks = []struct {
	format Format
	mark   []byte
}{
	{Dotenv, []byte("sops_mac=ENC[")},
	{JSON, []byte(`"mac": "ENC[`)},
	{Binary, []byte(`"mac": "ENC[`)},
	{YAML, []byte("mac: ENC[")},
	{INI, []byte("[sops]")},
}

// Marked reports whether a document of this format is encrypted.
func (f Format) Marked(data []byte) bool {
	for _, m := range marks {
		if m.format == f {
			return bytes.Contains(data, m.mark)
		}
	}
	return false
}

// Detect returns the format of a document that is encrypted, or that it is not.
func Detect(data []byte) (format Format, encrypted bool) {
	for _, m := range marks {
		if bytes.Contains(data, m.mark) {
			return m.format, true
		}
	}
	return "", false
}

// MetadataKey is the field of an encrypted document that says how it was encrypted.
const MetadataKey = "sops"

// DecryptAnnotation of value "disabled", whatever its case, has an object left as it is.
const DecryptAnnotation = "kustomize.toolkit.fluxcd.io/decrypt"

// Disabled reports whether an object says that it is to be left as it is.
func Disabled(object map[string]any) bool {
	metadata, _ := object["metadata"].(map[string]any)
	annotations, _ := metadata["annotations"].(map[string]any)
	wanted, _ := annotations[DecryptAnnotation].(string)
	return strings.EqualFold(wanted, "disabled")
}

// Whole reports whether an object is encrypted itself, with a mac as its metadata have it.
func Whole(object map[string]any) bool {
	metadata, _ := object[MetadataKey].(map[string]any)
	mac, _ := metadata["mac"].(string)
	return mac != ""
}

// Values returns the values of a Secret's data that are encrypted documents, decoded, by their keys.
func Values(object map[string]any) map[string][]byte {
	if object["kind"] != "Secret" {
		return nil
	}
	data, _ := object["data"].(map[string]any)
	var found map[string][]byte
	for key, value := range data {
		text, _ := value.(string)
		content, err := base64.StdEncoding.DecodeString(text)
		if err != nil {
			continue // the API server says what is wrong with it
		}
		if _, encrypted := Detect(content); encrypted {
			if found == nil {
				found = map[string][]byte{}
			}
			found[key] = content
		}
	}
	return found
}
