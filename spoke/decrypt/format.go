package decrypt

import (
	"bytes"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// Format is how a document is written.
type Format string

// The formats of SOPS. Binary is any content: encrypted it is JSON with the one key data.
const (
	Binary Format = "binary"
	Dotenv Format = "dotenv"
	INI    Format = "ini"
	JSON   Format = "json"
	YAML   Format = "yaml"
)

// FormatOf returns the format that the name of a file, or of a key of a Secret, says. As in Flux that of an image pull
// secret is JSON.
func FormatOf(name string) Format {
	for _, f := range []struct {
		suffix string
		format Format
	}{
		{".yaml", YAML}, {".yml", YAML}, {".json", JSON}, {".dockerconfigjson", JSON}, {".env", Dotenv}, {".ini", INI},
	} {
		if strings.HasSuffix(name, f.suffix) {
			return f.format
		}
	}
	return Binary
}

// marks are what a document of a format has when SOPS has encrypted it: Flux's rule, which neither parses what is not
// encrypted nor fails on it.
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

// detect returns the format of an encrypted document. That of binary content is JSON, which is how it is written.
func detect(data []byte) (format Format, encrypted bool) {
	for _, m := range marks {
		if bytes.Contains(data, m.mark) {
			return m.format, true
		}
	}
	return "", false
}

// marked reports whether a document of this format is encrypted.
func (f Format) marked(data []byte) bool {
	for _, m := range marks {
		if m.format == f {
			return bytes.Contains(data, m.mark)
		}
	}
	return false
}

// read parses an encrypted document into the tree that is encrypted, one a document of YAML, and its metadata.
func (f Format) read(data []byte) ([]mapping, map[string]any, error) {
	switch f {
	case Dotenv:
		tree, fields, err := readDotenv(data)
		return []mapping{tree}, fields, err
	case INI:
		tree, fields, err := readINI(data)
		return []mapping{tree}, fields, err
	case YAML:
		trees, err := readYAML(data)
		if err != nil {
			return nil, nil, err
		}
		return nested(trees)
	}
	tree, err := readJSON(data)
	if err != nil {
		return nil, nil, err
	}
	return nested([]mapping{tree})
}

// write prints a decrypted tree. Where a format cannot say what another did, it is an error.
func (f Format) write(trees []mapping) ([]byte, error) {
	if f != YAML && len(trees) != 1 {
		return nil, fmt.Errorf("%d documents cannot be written as one of %s", len(trees), f)
	}
	switch f {
	case Dotenv:
		return writeDotenv(trees[0])
	case INI:
		return writeINI(trees[0])
	case YAML:
		return writeYAML(trees)
	case JSON:
		return writeJSON(trees[0])
	}
	value, found := trees[0].find("data")
	text, isText := value.(string)
	if !found || !isText {
		return nil, fmt.Errorf("it has no text below the key %q, which is where SOPS keeps binary content", "data")
	}
	return []byte(text), nil
}

const metadataKey = "sops"

// nested takes the metadata out of trees that have it below a key of its own: the first counts.
func nested(trees []mapping) ([]mapping, map[string]any, error) {
	if len(trees) == 0 {
		return nil, nil, errNoMetadata
	}
	value, found := trees[0].find(metadataKey)
	fields, is := plainOf(value).(map[string]any)
	if !found || !is {
		return nil, nil, errNoMetadata
	}
	for i := range trees {
		trees[i] = trees[i].without(metadataKey)
	}
	return trees, fields, nil
}

// textual is a value in a format that has nothing but text.
func textual(value any) string {
	switch v := value.(type) {
	case nil:
		return "<nil>" // as SOPS prints it
	case float64:
		text := strconv.FormatFloat(v, 'G', -1, 64)
		if !strings.ContainsAny(text, ".E") {
			text = strconv.FormatFloat(v, 'f', 1, 64) // it is to be told from an integer
		}
		return text
	case bool:
		return fmt.Sprint(v)
	case time.Time:
		return v.Format(time.RFC3339)
	}
	return fmt.Sprint(value)
}
